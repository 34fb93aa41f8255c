"""Prints docs/metrics.md: every metric of a server, read from its registry, so that the page cannot be wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import Histogram
from prometheus_client.registry import Collector

from semantic_palette_services.server.metrics import PREFIX, Metrics

HEAD = f"""# Metrics

What a server exports at its metrics port; [monitoring.md](monitoring.md) says what to ask of it. This page is written
by `make metrics` from the registry, and a test compares the two.

All names begin with `{PREFIX}_`. A counter grows until the process ends: take its `rate`. A histogram has
the samples `..._bucket`, `..._sum` and `..._count`. On Linux there are prometheus-client's `process_...` metrics beside
them, such as `process_resident_memory_bytes` and `process_cpu_seconds_total`.
"""

_UNITS = ("seconds", "bytes", "nats")


@dataclass(frozen=True, slots=True)
class MetricDescription:
    """What can be said of a metric without a sample; the name is that of its samples, without the prefix."""

    name: str
    kind: str
    labels: Sequence[str]
    meaning: str
    bounds: Sequence[float]
    """Upper bounds of a histogram's buckets but the last; empty for the others."""

    @property
    def unit(self) -> str:
        """The base unit, from the name; empty for what is counted."""
        words = self.name.removesuffix("_total").split("_")
        return words[-1] if words[-1] in _UNITS else ""


def describe(collectors: Sequence[Collector]) -> Iterator[MetricDescription]:
    """What the collectors export under our prefix."""
    for collector in collectors:
        families = collector.describe() if hasattr(collector, "describe") else collector.collect()
        # prometheus-client has no public way to ask a metric without samples for its labels and bounds.
        bounds = getattr(collector, "_upper_bounds", ())[:-1] if isinstance(collector, Histogram) else ()
        for family in families:
            if not family.name.startswith(PREFIX):
                continue
            name = family.name.removeprefix(f"{PREFIX}_") + ("_total" if family.type == "counter" else "")
            labels = getattr(collector, "_labelnames", None) or getattr(family, "_labelnames", ())
            yield MetricDescription(name, family.type, labels, family.documentation, bounds)


def server_metrics() -> list[MetricDescription]:
    """Every metric of a server, by name."""
    registry = Metrics().registry
    return sorted(describe(list(registry._collector_to_names)), key=lambda metric: metric.name)


def page(metrics: Sequence[MetricDescription]) -> str:
    """The page, in Markdown."""
    lines = [HEAD, "| Metric | Kind | Unit | Labels | Meaning |", "|---|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.meaning} |")
    lines += ["", "Upper bounds of the buckets of histograms; the last one is infinite:", ""]
    lines += ["| Histogram | Bounds |", "|---|---|"]
    for metric in metrics:
        if metric.bounds:
            lines.append(f"| `{metric.name}` | {', '.join(f'{bound:g}' for bound in metric.bounds)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(server_metrics()), end="")
