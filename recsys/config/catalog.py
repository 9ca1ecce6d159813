"""Settings of the catalog stage: the feed, its columns, its images, the guards."""

from recsys.config.base import Section


class CatalogConfig(Section):
    """Where products come from and what is accepted."""

    feed: str = "catalog/feed.csv"
    """Path or URL of the feed."""
