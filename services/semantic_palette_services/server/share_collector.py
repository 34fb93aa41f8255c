"""Metrics of what is served: how much of each class was requested and achieved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from semantic_palette.pair import Adherence


class ShareCollector(Collector):
    """Sums of the requested and achieved shares of each class, over all layouts served.

    Divided by the number of layouts they are mean shares. They are summed as arrays and become samples when they are
    scraped, so that a layout costs two additions, not two for every class.

    Args:
        prefix: of the names.
        class_names: by class id.
    """

    def __init__(self, prefix: str, class_names: Sequence[str]) -> None:
        self._prefix = prefix
        self._class_names = class_names
        size = len(class_names)
        self._requested = {adherence: np.zeros(size) for adherence in Adherence}
        self._achieved = {adherence: np.zeros(size) for adherence in Adherence}

    def add(self, adherence: Adherence, requested: NDArray[np.float64], achieved: NDArray[np.float64]) -> None:
        """Count a layout's palettes ``[K]``."""
        self._requested[adherence] += requested
        self._achieved[adherence] += achieved

    def collect(self) -> Iterator[Metric]:
        """Samples for a scrape."""
        yield self._family("requested_share", "Sum of requested shares", self._requested)
        yield self._family("achieved_share", "Sum of shares counted in layouts", self._achieved)

    def _family(self, name: str, documentation: str, sums: dict[Adherence, NDArray[np.float64]]) -> CounterMetricFamily:
        family = CounterMetricFamily(
            f"{self._prefix}_{name}", f"{documentation}, by class.", labels=("adherence", "class")
        )
        for adherence, values in sums.items():
            for class_name, value in zip(self._class_names, values, strict=True):
                family.add_metric((adherence.value, class_name), float(value))
        return family
