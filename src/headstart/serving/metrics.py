"""What is counted, for Prometheus."""

from dataclasses import dataclass
from typing import Self

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from headstart.serving.batching import Answer
from headstart.serving.drift import CHANNELS, WINDOW, Drift
from headstart.serving.pool import Pool
from headstart.serving.uploads import Admission

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
TENTHS = tuple(tenth / 10 for tenth in range(1, 11))


@dataclass(frozen=True, eq=False)
class Metrics:
    """The figures of a server."""

    registry: CollectorRegistry
    requests: Counter
    seconds: Histogram
    batches: Histogram
    predictions: Counter
    confidence: Histogram
    unread: Counter

    @classmethod
    def of(cls, pool: Pool, admission: Admission, drift: Drift, meaning: str) -> Self:
        """Figures of these. meaning: what the mean and std of `drift` are of."""
        disable_created_metrics()
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        _gauges(registry, pool, admission, drift, meaning)
        most = admission.settings.max_batch
        sizes = sorted({2**power for power in range(12) if 2**power < most} | {most})
        made = dict(registry=registry, namespace="headstart")
        return cls(
            registry,
            Counter("requests", "Requests that were answered.", ("path", "status"), **made),
            Histogram("request_seconds", "From headers to answer.", ("path",), buckets=SECONDS, **made),
            Histogram("batch_pictures", "Pictures that were computed together, per picture.", buckets=sizes, **made),
            Counter("predictions", "Pictures by the class that was found.", ("class",), **made),
            Histogram("confidence", "Probability of the class that was found.", buckets=TENTHS, **made),
            Counter("unread_pictures", "Files that could not be decoded.", **made),
        )

    def note_answer(self, name: str, answer: Answer) -> None:
        """Count a picture; name: the class that was found."""
        self.predictions.labels(name).inc()
        self.confidence.observe(float(answer.probabilities.max()))
        self.batches.observe(answer.batch)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)


def _gauges(registry: CollectorRegistry, pool: Pool, admission: Admission, drift: Drift, meaning: str) -> None:
    made = dict(registry=registry, namespace="headstart")
    Gauge("queue_pictures", "Pictures that were accepted and not answered yet.", **made).set_function(
        lambda: admission.pictures
    )
    Gauge("queue_limit_pictures", "How many there may be.", **made).set(admission.settings.queue)
    Gauge("workers_ready", "Workers that have the network.", **made).set_function(lambda: len(pool.ready))
    Gauge("workers_died", "Workers that have died and were replaced.", **made).set_function(lambda: pool.died)
    known = f"mean and deviation are {meaning}"
    shift = f"(mean of the latest {WINDOW} pictures - mean) / deviation, per channel; {known}."
    spread = f"Deviation of the latest {WINDOW} pictures' pixels / deviation, per channel; {known}."
    shifts = Gauge("input_shift", shift, ("channel",), **made)
    spreads = Gauge("input_spread", spread, ("channel",), **made)
    for place, channel in enumerate(CHANNELS):
        shifts.labels(channel).set_function(lambda place=place: drift.shift(place))
        spreads.labels(channel).set_function(lambda place=place: drift.spread(place))
