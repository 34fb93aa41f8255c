"""Metrics with the bundle and the version on them.

What is asked of a version (which answered, how well) has these labels; how queues and the device fare, which its models
share, has not: histograms of every version would multiply series that nobody compares.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from semantic_palette.editing import RegionShares
from semantic_palette.pair import Adherence
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle
from semantic_palette_services.runtime.observer import BatchObserver, CancelStage, ExecutedBatch, ShedReason
from semantic_palette_services.server.share_collector import ShareCollector, ShareSums

_NATS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.5, 1.0, 2.0, 5.0)
_VERSION = ("bundle", "version")


class BundleFamilies:
    """The families of metrics whose samples come and go with versions.

    Args:
        prefix: of the names.
        registry: what is scraped.
    """

    def __init__(self, prefix: str, registry: CollectorRegistry) -> None:
        def counter(name: str, documentation: str, *labels: str) -> Counter:
            return Counter(f"{prefix}_{name}", documentation, (*_VERSION, *labels), registry=registry)

        def gauge(name: str, documentation: str, *labels: str) -> Gauge:
            return Gauge(f"{prefix}_{name}", documentation, (*_VERSION, *labels), registry=registry)

        def nats(name: str, documentation: str, *labels: str) -> Histogram:
            documentation = f"KL divergence of achieved from requested palettes{documentation}."
            return Histogram(f"{prefix}_{name}", documentation, (*_VERSION, *labels), buckets=_NATS, registry=registry)

        self.load_seconds = gauge("model_load_duration_seconds", "Time to verify, load, check and measure a bundle.")
        self.active = gauge("bundle_active", "1 for what requests get that pin no version, 0 for what they do not.")
        model = ("digest", "model", "engine", "engine_version", "precision", "sha256")
        self.model_info = gauge("model_info", "1 for every model in memory.", *model)
        self.batch_limit = gauge("batch_size_limit", "Most items in a batch, to compare batch_size with.", "model")
        self.items = counter("items", "Items that were executed.", "model")
        self.layouts = counter("layouts", "Layouts generated.", "adherence")
        self.kl = nats("layout_kl_nats", "", "adherence")
        self.edits = counter("edits", "Layouts edited.")
        self.edit_kl = nats("edit_kl_nats", " of edited regions")
        self.shares = ShareCollector(prefix)
        registry.register(self.shares)

    def remove(self, bundle: str, version: str) -> None:
        """Export no sample of this version any more."""
        version_labels = {"bundle": bundle, "version": version}
        for family in (
            *(self.load_seconds, self.active, self.model_info, self.batch_limit, self.items),
            *(self.layouts, self.kl, self.edits, self.edit_kl),
        ):
            family.remove_by_labels(version_labels)


class BundleMetrics:
    """What the batchers and operations of one version of a bundle tell. A `BatchObserver` and a `ResultObserver`.

    Args:
        models: is told what batchers tell, whatever their bundle; of the depth of a queue, the change.
        families: where samples of this version go.
        name: name of the bundle.
        version: version of the bundle.
        class_names: by class id.
    """

    def __init__(
        self, models: BatchObserver, families: BundleFamilies, name: str, version: str, class_names: Sequence[str]
    ) -> None:
        self._models = models
        self._families = families
        self._labels = (name, version)
        self._shares = ShareSums.of(name, version, class_names)
        self._depths: dict[str, int] = {}
        families.shares.add(self._shares)

    def loaded(self, bundle: LoadedBundle, seconds: float) -> None:
        """The bundle was loaded in so many seconds."""
        self._families.load_seconds.labels(*self._labels).set(seconds)
        for operation, model in bundle.models.items():
            self._families.batch_limit.labels(*self._labels, operation).set(model.max_batch_size)
            engine = model.engine
            self._families.model_info.labels(
                *self._labels,
                bundle.digest,
                operation,
                engine.engine,
                engine.engine_version,
                engine.precision,
                engine.model_digest,
            ).set(1)

    def activated(self, active: bool) -> None:
        """Requests that pin no version get this one from now on, or do not."""
        self._families.active.labels(*self._labels).set(active)

    def remove(self) -> None:
        """The version is not in memory any more."""
        self._families.remove(*self._labels)
        self._families.shares.remove(self._shares)

    def batch_executed(self, batch: ExecutedBatch) -> None:
        """See `BatchObserver.batch_executed`."""
        self._models.batch_executed(batch)
        self._families.items.labels(*self._labels, batch.model).inc(batch.size)

    def batch_failed(self, model: str, seconds: float) -> None:
        """See `BatchObserver.batch_failed`."""
        self._models.batch_failed(model, seconds)

    def shed(self, model: str, reason: ShedReason) -> None:
        """See `BatchObserver.shed`."""
        self._models.shed(model, reason)

    def cancelled(self, model: str, stage: CancelStage) -> None:
        """See `BatchObserver.cancelled`."""
        self._models.cancelled(model, stage)

    def queue_depth(self, model: str, depth: int) -> None:
        """See `BatchObserver.queue_depth`."""
        self._models.queue_depth(model, depth - self._depths.get(model, 0))
        self._depths[model] = depth

    def inflight(self, model: str, delta: int) -> None:
        """See `BatchObserver.inflight`."""
        self._models.inflight(model, delta)

    def layout_served(
        self, adherence: Adherence, requested: NDArray[np.float64], achieved: NDArray[np.float64], kl: float
    ) -> None:
        """See `QualityObserver.layout_served`."""
        self._families.layouts.labels(*self._labels, adherence.value).inc()
        self._families.kl.labels(*self._labels, adherence.value).observe(kl)
        self._shares.add(adherence, requested, achieved)

    def layout_edited(self, region: RegionShares) -> None:
        """See `EditObserver.layout_edited`."""
        self._families.edits.labels(*self._labels).inc()
        self._families.edit_kl.labels(*self._labels).observe(region.kl)
