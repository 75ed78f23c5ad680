"""What the service counts, for Prometheus. Labels take few values: routes, statuses, tasks."""

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = self._make(Counter, "requests", "Requests.", ("route", "status"))
        self.request_seconds = self._make(
            Histogram, "request_seconds", "First byte to last.", ("route",), buckets=SECONDS
        )
        self.texts = self._make(Counter, "texts", "Texts tagged.", ("model", "task"))
        self.tokens = self._make(Counter, "tokens", "Tokens tagged, roughly.", ("model",))
        self.failed = self._make(Counter, "failed_texts", "Texts whose tagging failed.")
        self.abandoned = self._make(
            Counter, "abandoned_requests", "Given up before the answer: client gone, or too late."
        )
        self.batch_texts = self._make(
            Histogram, "batch_texts", "Texts tagged at once.", buckets=SIZES
        )
        self.batch_seconds = self._make(
            Histogram, "batch_seconds", "Time of the model for a batch.", buckets=SECONDS
        )
        self.wait_seconds = self._make(
            Histogram, "wait_seconds", "Time of a text in the queue.", buckets=SECONDS
        )

    def watch(self, name: str, about: str, value: Callable[[], float]) -> None:
        """Show what ``value`` gives whenever the figures are read."""
        self._make(Gauge, name, about).set_function(value)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self._registry)

    def _make(
        self, kind: Any, name: str, about: str, labels: Iterable[str] = (), **options: Any
    ) -> Any:
        return kind(f"hyperloader_{name}", about, tuple(labels), registry=self._registry, **options)
