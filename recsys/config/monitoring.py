"""Settings of monitoring: when a figure of the published vectors is unusual."""

from typing import Literal

from pydantic import Field

from recsys.config.base import Section

Figure = Literal["drift", "isolated", "churn", "hubness", "antihubs"]


class MonitoringConfig(Section):
    """When the report of a night calls a figure of the published vectors unusual, and alarms. It is compared
    with the nights before, from the eighth on; nothing is held back because of it. See docs/operations.md."""

    nights: int = Field(default=30, ge=7)
    """Nights that say what is usual, the last ones."""
    tolerance: float = Field(default=6.0, gt=0)
    """How far above the median of those nights a figure is unusual, in standard deviations (1.4826 times the
    median absolute deviation); 4 to 8 is sensible. A change of 0.05, of hubness 0.5, is never unusual."""
    limits: dict[Figure, float] = Field(default_factory=dict)
    """Figure → a limit of your own instead, which counts from the first night: ``churn = 0.3``."""
