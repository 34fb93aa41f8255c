"""Prometheus metrics: base units, few labels, true histograms.

One registry a server. It implements the observers of the runtime (batches), the operations (layouts, pairs), the
interceptor (calls) and the secrets (certificates, tokens), so that none of those knows of Prometheus.
"""

from __future__ import annotations

import importlib.metadata
from datetime import datetime

import grpc
import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from semantic_palette.editing import RegionShares
from semantic_palette.pair import Adherence
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle
from semantic_palette_services.runtime.observer import CancelStage, ExecutedBatch, RestartReason, ShedReason
from semantic_palette_services.server.share_collector import ShareCollector
from semantic_palette_services.tracing import Span, current_span

PREFIX = "semantic_palette"

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_NATS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """The metrics of a server.

    Attributes:
        registry: what is scraped.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = self._gauge("build_info", "1; the version of the server is its label.", "version")
        build.labels(importlib.metadata.version("semantic-palette")).set(1)
        self._define_calls()
        self._define_batches()
        self._define_results()
        self._define_security()

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", documentation, labels, buckets=buckets, registry=self.registry)

    def _define_calls(self) -> None:
        self._requests = self._counter("requests", "Calls that have ended, by status.", "method", "code")
        self._request_seconds = self._histogram(
            "request_duration_seconds", "Time from a call's arrival to its end.", _SECONDS, "method"
        )
        self._inflight_requests = self._gauge("inflight_requests", "Calls that have not ended.", "method")

    def _define_batches(self) -> None:
        self._queue_seconds = self._histogram(
            "queue_duration_seconds", "Time that an item waited for its batch.", _SECONDS, "model"
        )
        self._batch_seconds = self._histogram(
            "batch_execution_duration_seconds", "Time that a batch held the device.", _SECONDS, "model"
        )
        self._batch_size = self._histogram("batch_size", "Items in a batch.", _BATCH_SIZES, "model")
        self._queue_depth = self._gauge("queue_depth", "Items that wait.", "model")
        self._inflight_items = self._gauge("inflight_items", "Items accepted and not yet answered.", "model")
        self._shed = self._counter(
            "shed", "Items refused or dropped: queue_full, wait, deadline, drain.", "model", "reason"
        )
        self._cancelled = self._counter("cancelled", "Items whose caller gave up: queued, running.", "model", "stage")
        self._restarts = self._counter(
            "engine_restarts", "Restarts of engines, by what was before: died, hung, failed.", "reason"
        )
        self._device_seconds = self._counter("device_busy_seconds", "Time that the device computed.")
        self._load_seconds = self._gauge(
            "model_load_duration_seconds", "Time to verify, load, check and measure the bundle.", "bundle"
        )
        self._model_info = self._gauge(
            "model_info",
            "1 for every model that is served.",
            *("bundle", "version", "digest", "model", "engine", "engine_version", "precision", "sha256"),
        )

    def _define_results(self) -> None:
        self._layouts = self._counter("layouts", "Layouts generated.", "adherence")
        self._kl = self._histogram(
            "layout_kl_nats", "KL divergence of achieved from requested palettes.", _NATS, "adherence"
        )
        self._edits = self._counter("edits", "Layouts edited.")
        self._edit_kl = self._histogram(
            "edit_kl_nats", "KL divergence of achieved from requested palettes of edited regions.", _NATS
        )
        self._pairs = self._counter("pairs", "Pairs made.")
        self._inflight_pairs = self._gauge("inflight_pairs", "Pairs in the making.")
        self._shares: ShareCollector | None = None

    def _define_security(self) -> None:
        self._reloads = self._counter(
            "reloads", "Files of certificates and tokens that changed: ok, refused.", "what", "result"
        )
        self._access_refused = self._counter(
            "access_refused", "Calls without a token that may make them: unauthenticated, permission_denied.", "reason"
        )
        self._certificate_expiry = self._gauge(
            "tls_certificate_expiry_timestamp_seconds", "When the certificate in use expires, in Unix time.", "what"
        )

    def bundle_loaded(self, bundle: LoadedBundle, seconds: float) -> None:
        """A bundle was loaded in so many seconds."""
        self._load_seconds.labels(bundle.name).set(seconds)
        for operation, model in bundle.models.items():
            engine = model.engine
            self._model_info.labels(
                bundle.name,
                bundle.version,
                bundle.digest,
                operation,
                engine.engine,
                engine.engine_version,
                engine.precision,
                engine.model_digest,
            ).set(1)
        self._shares = ShareCollector(PREFIX, bundle.label_space.names)
        self.registry.register(self._shares)

    def reloaded(self, what: str, ok: bool) -> None:
        """See `ReloadObserver.reloaded`."""
        self._reloads.labels(what, "ok" if ok else "refused").inc()

    def access_refused(self, reason: str) -> None:
        """See `AccessObserver.access_refused`."""
        self._access_refused.labels(reason).inc()

    def certificate_in_use(self, what: str, not_after: datetime) -> None:
        """See `TlsObserver.certificate_in_use`."""
        self._certificate_expiry.labels(what).set(not_after.timestamp())

    def call_started(self, method: str) -> None:
        """See `CallObserver.call_started`."""
        self._inflight_requests.labels(method).inc()

    def call_ended(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """See `CallObserver.call_ended`."""
        self._inflight_requests.labels(method).dec()
        self._requests.labels(method, code.name).inc()
        self._request_seconds.labels(method).observe(seconds, _exemplar(current_span()))

    def batch_executed(self, batch: ExecutedBatch) -> None:
        """See `BatchObserver.batch_executed`."""
        self._batch_seconds.labels(batch.model).observe(batch.seconds, _exemplar(batch.span))
        self._batch_size.labels(batch.model).observe(batch.size)
        self._device_seconds.inc(batch.seconds)
        queue = self._queue_seconds.labels(batch.model)
        for waited, span in zip(batch.queue_seconds, batch.spans, strict=True):
            queue.observe(waited, _exemplar(span))

    def shed(self, model: str, reason: ShedReason) -> None:
        """See `BatchObserver.shed`."""
        self._shed.labels(model, reason).inc()

    def cancelled(self, model: str, stage: CancelStage) -> None:
        """See `BatchObserver.cancelled`."""
        self._cancelled.labels(model, stage).inc()

    def queue_depth(self, model: str, depth: int) -> None:
        """See `BatchObserver.queue_depth`."""
        self._queue_depth.labels(model).set(depth)

    def inflight(self, model: str, delta: int) -> None:
        """See `BatchObserver.inflight`."""
        self._inflight_items.labels(model).inc(delta)

    def engine_restarted(self, reason: RestartReason) -> None:
        """See `DeviceObserver.engine_restarted`."""
        self._restarts.labels(reason).inc()

    def layout_served(
        self, adherence: Adherence, requested: NDArray[np.float64], achieved: NDArray[np.float64], kl: float
    ) -> None:
        """See `QualityObserver.layout_served`."""
        self._layouts.labels(adherence.value).inc()
        self._kl.labels(adherence.value).observe(kl)
        if self._shares is not None:
            self._shares.add(adherence, requested, achieved)

    def layout_edited(self, region: RegionShares) -> None:
        """See `EditObserver.layout_edited`."""
        self._edits.inc()
        self._edit_kl.observe(region.kl)

    def pair_started(self) -> None:
        """See `PairObserver.pair_started`."""
        self._inflight_pairs.inc()

    def pair_ended(self, made: bool) -> None:
        """See `PairObserver.pair_ended`."""
        self._inflight_pairs.dec()
        if made:
            self._pairs.inc()


def _exemplar(span: Span | None) -> dict[str, str] | None:
    """What leads from a bucket of a histogram to a trace that is kept."""
    return {"trace_id": span.trace_id, "span_id": span.span_id} if span is not None and span.recorded else None
