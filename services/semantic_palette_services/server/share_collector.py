"""Metrics of what is served: how much of each class was requested and achieved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from semantic_palette.pair import Adherence


@dataclass(frozen=True, slots=True, eq=False)
class ShareSums:
    """Sums of the requested and achieved shares of one version of a bundle.

    They are summed as arrays and become samples when they are scraped, so that a layout costs two additions, not two
    for every class.
    """

    bundle: str
    version: str
    class_names: Sequence[str]
    requested: dict[Adherence, NDArray[np.float64]]
    achieved: dict[Adherence, NDArray[np.float64]]

    @classmethod
    def of(cls, bundle: str, version: str, class_names: Sequence[str]) -> ShareSums:
        """Zeros for every class; ``class_names`` are by class id."""
        requested, achieved = ({a: np.zeros(len(class_names)) for a in Adherence} for _ in range(2))
        return cls(bundle, version, class_names, requested, achieved)

    def add(self, adherence: Adherence, requested: NDArray[np.float64], achieved: NDArray[np.float64]) -> None:
        """Count a layout's palettes ``[K]``."""
        self.requested[adherence] += requested
        self.achieved[adherence] += achieved


class ShareCollector(Collector):
    """Sums of the requested and achieved shares of each class, over all layouts served by each version in memory.

    Divided by the number of layouts they are mean shares.

    Args:
        prefix: of the names.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._sums: list[ShareSums] = []

    def add(self, sums: ShareSums) -> None:
        """Export the sums of a version."""
        self._sums = [*self._sums, sums]

    def remove(self, sums: ShareSums) -> None:
        """Export the sums of a version no longer."""
        self._sums = [kept for kept in self._sums if kept is not sums]

    def collect(self) -> Iterator[Metric]:
        """Samples for a scrape, which comes in a thread of its own."""
        versions = self._sums
        yield self._family(
            "requested_share",
            "Sum of requested shares",
            [(v, v.requested) for v in versions],
        )
        yield self._family(
            "achieved_share",
            "Sum of shares counted in layouts",
            [(v, v.achieved) for v in versions],
        )

    def _family(
        self, name: str, documentation: str, versions: Sequence[tuple[ShareSums, dict[Adherence, NDArray[np.float64]]]]
    ) -> CounterMetricFamily:
        labels = ("bundle", "version", "adherence", "class")
        family = CounterMetricFamily(
            f"{self._prefix}_{name}", f"{documentation}, by class; over layouts_total, the mean share.", labels=labels
        )
        for version, sums in versions:
            for adherence, values in sums.items():
                for class_name, value in zip(version.class_names, values, strict=True):
                    family.add_metric((version.bundle, version.version, adherence.value, class_name), float(value))
        return family
