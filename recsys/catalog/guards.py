"""The guards that stop an ingest before it harms the live catalog."""

from collections.abc import Mapping, Sequence

from recsys.config.catalog import GuardsConfig
from recsys.errors import GuardError

UNGUARDED = ("withheld", "duplicate_image", "too_many_images")
"""Reasons that are no fault of the feed: they count as rejected, but never stop a run."""

_SHOWN_REASONS = 3

Reasons = Mapping[str, Mapping[str, int]]
"""Scope → reason → number of rejections."""


def check_feed(
    guards: GuardsConfig, *, num_rows: int, num_links: int, num_products: int, reasons: Reasons
) -> None:
    """Raise :class:`GuardError` for a feed that is empty, or of which too large a share was rejected.

    ``num_rows`` and ``num_links`` are what the feed held, ``num_products`` what was accepted.
    """
    if num_products == 0 and not guards.allow_empty:
        raise GuardError(
            f"The feed has {num_rows:,} rows and gives no product{_most_frequent(reasons, 'product')}.",
            fix="Check catalog.feed, catalog.format and catalog.columns; if an empty catalog is right, "
            "set catalog.guards.allow_empty = true.",
        )
    if not guards.allow_rejected:
        share = guards.max_rejected_share
        _check_share("max_rejected_share", "allow_rejected", share, num_rows, reasons, "product")
    if not guards.allow_rejected_images:
        share = guards.max_rejected_image_share
        _check_share("max_rejected_image_share", "allow_rejected_images", share, num_links, reasons, "image")


def check_gone(guards: GuardsConfig, diff: Mapping[str, int]) -> None:
    """Raise :class:`GuardError` if too large a share of the catalog in service is gone.

    ``diff`` counts products per change against the snapshot in service.
    """
    live = sum(diff.values()) - diff["new"]
    share = diff["gone"] / live if live else 0.0
    if share > guards.max_gone_share and not guards.allow_gone:
        raise GuardError(
            f"{diff['gone']:,} of the {live:,} products in service ({share:.1%}) are not in the new feed; "
            f"at most {guards.max_gone_share:.1%} may go at once.",
            fix=_fix("the feed is whole", "max_gone_share", "allow_gone"),
        )


def check_losses(guards: GuardsConfig, *, num_products: int, history: Sequence[int]) -> None:
    """Raise :class:`GuardError` if losses, each small enough, add up to too large a share.

    ``history`` counts the products of the catalogs of the last nights, one each.
    """
    largest = max(history, default=0)
    share = 1 - num_products / largest if largest else 0.0
    if share > guards.max_gone_share and not guards.allow_gone:
        raise GuardError(
            f"The feed gives {num_products:,} products; the largest catalog of the last {len(history)} "
            f"nights had {largest:,}: {share:.1%} fewer; at most {guards.max_gone_share:.1%} may go in "
            f"{guards.nights} nights.",
            fix=_fix("the feed is whole", "max_gone_share", "allow_gone"),
        )


def _check_share(name: str, flag: str, limit: float, total: int, reasons: Reasons, scope: str) -> None:
    faults = sum(count for reason, count in reasons.get(scope, {}).items() if reason not in UNGUARDED)
    share = faults / total if total else 0.0
    if share > limit:
        things = "rows" if scope == "product" else "image links"
        raise GuardError(
            f"{faults:,} of {total:,} {things} ({share:.1%}) were rejected{_most_frequent(reasons, scope)}; "
            f"at most {limit:.1%} may be.",
            fix=_fix("that is right", name, flag),
        )


def _most_frequent(reasons: Reasons, scope: str) -> str:
    counted = sorted(reasons.get(scope, {}).items(), key=lambda pair: -pair[1])[:_SHOWN_REASONS]
    return f" ({', '.join(f'{reason} {count:,}' for reason, count in counted)})" if counted else ""


def _fix(condition: str, name: str, flag: str) -> str:
    return (
        f"Look at what was rejected. If {condition}, raise catalog.guards.{name}, or set "
        f"catalog.guards.{flag} = true for this run."
    )
