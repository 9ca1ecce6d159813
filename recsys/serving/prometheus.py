"""Metrics for Prometheus: requests, where their time goes, what is live, how fresh and how usual it is."""

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from recsys.search.live_index import LiveIndex
from recsys.workspace import Workspace
from recsys.workspace.monitoring import POINTER, Night

logger = logging.getLogger(__name__)

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The service's own registry; nothing is registered globally."""

    def __init__(self, live: LiveIndex, workspace: Workspace) -> None:
        self.registry = CollectorRegistry()
        labels = ("route", "method", "status")
        self._requests = Counter("recsys_http_requests", "Requests answered.", labels, registry=self.registry)
        self._seconds = Histogram(
            "recsys_http_request_seconds", "Time to answer.", ("route",), buckets=_BUCKETS,
            registry=self.registry,
        )  # fmt: skip
        self._steps = Histogram(
            "recsys_search_step_seconds",
            "Time of a search by step: prepare reads examples and runs the encoder, find asks the engine "
            "and ranks.",
            ("step",), buckets=_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.in_threads = Gauge(
            "recsys_http_work_waiting", "Requests that a thread works on, or will.", registry=self.registry
        )
        self.registry.register(_LiveCollector(live))
        self.registry.register(_NightCollector(workspace))

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, method, status).inc()
        self._seconds.labels(route).observe(seconds)

    def search(self, timings_ms: Mapping[str, float]) -> None:
        """Note where one search spent its time."""
        for step, taken in timings_ms.items():
            self._steps.labels(step).observe(taken / 1e3)


class _LiveCollector(Collector):
    """Reads what is live at each scrape; nothing may be live yet."""

    def __init__(self, live: LiveIndex) -> None:
        self._live = live

    def collect(self) -> Iterable[Metric]:
        """Yield what is live now."""
        ready = self._live.ready()
        yield GaugeMetricFamily("recsys_ready", "1 where queries by id can be answered.", float(ready))
        yield GaugeMetricFamily(
            "recsys_live_swaps", "Times that another view took over since the start.", self._live.num_swaps
        )
        if not ready:
            return
        view = self._live.view()
        metadata = view.collection.metadata
        info = GaugeMetricFamily(
            "recsys_live_info", "1, with the names of what is live.",
            labels=("collection", "encoder", "snapshot"),
        )  # fmt: skip
        info.add_metric((view.collection.name, view.encoder_ref, view.snapshot_ref), 1)
        yield info
        yield GaugeMetricFamily(
            "recsys_encoder_loaded", "1 where words and images can be answered at once.",
            float(view.encoder_loaded),
        )  # fmt: skip
        if metadata.updated_at:
            age = (datetime.now(UTC) - datetime.fromisoformat(metadata.updated_at)).total_seconds()
            yield GaugeMetricFamily(
                "recsys_live_age_seconds", "Since the live collection was last brought to a snapshot.", age
            )


class _NightCollector(Collector):
    """Reads at each scrape what monitoring found on the last night; there may be none."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def collect(self) -> Iterable[Metric]:
        """Return the figures of the last night."""
        try:
            night = self._workspace.read_pointer(POINTER)
            return _gauges(night) if night else []
        except Exception:  # the other metrics do not depend on it
            logger.exception("no figures of the last night")
            return []


def _gauges(night: Night) -> list[Metric]:
    usual = night["usual"]
    found = {
        "recsys_vectors": {name: figure["value"] for name, figure in night["figures"].items()},
        "recsys_vectors_limit": {name: usual[name]["limit"] for name in usual},
        "recsys_vectors_unusual": {name: float(name in night["unusual"]) for name in usual},
    }
    meanings = (
        "A figure of the vectors published last night.",
        "Above this it is unusual.",
        "1 where it is.",
    )
    gauges = []
    for (metric, values), meaning in zip(found.items(), meanings, strict=True):
        gauges.append(GaugeMetricFamily(metric, meaning, labels=("figure",)))
        for name, value in values.items():
            if value is not None:
                gauges[-1].add_metric((name,), value)
    at = datetime.fromisoformat(night["at"]).timestamp()
    when = GaugeMetricFamily("recsys_vectors_timestamp_seconds", "When they were looked at.", at)
    return [*gauges, when]
