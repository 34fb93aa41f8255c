"""Prometheus metrics: base units, few labels, true histograms.

One registry a server. It implements the observers of the factory (pairs), the interceptor (calls), changes of bundles
and the secrets (certificates, tokens); `BundleMetrics`, one a bundle, those of batches and layouts. So none of what is
observed knows of Prometheus.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from datetime import datetime
from typing import get_args

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from semantic_palette_services.runtime.observer import CancelStage, ExecutedBatch, RestartReason, ShedReason
from semantic_palette_services.server.bundle_metrics import BundleFamilies, BundleMetrics
from semantic_palette_services.tracing import Span, current_span

PREFIX = "semantic_palette"

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


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
        self._bundle_families = BundleFamilies(PREFIX, self.registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", documentation, labels, buckets=buckets, registry=self.registry)

    def _define_calls(self) -> None:
        self._requests = self._counter("requests", "Calls that have ended, by gRPC status.", "method", "code")
        self._request_seconds = self._histogram(
            "request_duration_seconds",
            "Time from a call's arrival to its end; for a stream, its whole length.",
            _SECONDS,
            "method",
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
        self._failures = self._counter(
            "batch_failures", "Batches that the model failed on; the items of each were run again, one by one.", "model"
        )
        self._queue_depth = self._gauge("queue_depth", "Items that wait.", "model")
        self._inflight_items = self._gauge("inflight_items", "Items accepted and not yet answered.", "model")
        self._shed = self._counter(
            "shed", "Items refused or dropped: queue_full, wait, deadline, drain.", "model", "reason"
        )
        self._cancelled = self._counter("cancelled", "Items whose caller gave up: queued, running.", "model", "stage")
        self._restarts = self._counter(
            "engine_restarts", "Restarts of engines, by what was before: died, hung, failed.", "reason"
        )
        for reason in get_args(RestartReason):
            self._restarts.labels(reason)  # so that the first restart is an increase from 0
        self._device_seconds = self._counter(
            "device_busy_seconds", "Time that the device computed; its rate is the utilisation."
        )

    def _define_results(self) -> None:
        self._pairs = self._counter("pairs", "Pairs made, edited ones too.")
        self._inflight_pairs = self._gauge(
            "inflight_pairs", "Pairs in the making; 0 when nobody asks, also after clients were killed."
        )
        self._changes = self._counter("bundle_changes", "Changes of bundles: ok, failed.", "action", "outcome")

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

    def of_bundle(self, name: str, version: str, class_names: Sequence[str]) -> BundleMetrics:
        """What batchers and operations of one version of a bundle tell, until its `BundleMetrics.remove`."""
        return BundleMetrics(self, self._bundle_families, name, version, class_names)

    def change_ended(self, action: str, succeeded: bool) -> None:
        """See `ChangeObserver.change_ended`."""
        self._changes.labels(action, "ok" if succeeded else "failed").inc()

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

    def batch_failed(self, model: str, seconds: float) -> None:
        """See `BatchObserver.batch_failed`."""
        self._failures.labels(model).inc()
        self._device_seconds.inc(seconds)

    def shed(self, model: str, reason: ShedReason) -> None:
        """See `BatchObserver.shed`."""
        self._shed.labels(model, reason).inc()

    def cancelled(self, model: str, stage: CancelStage) -> None:
        """See `BatchObserver.cancelled`."""
        self._cancelled.labels(model, stage).inc()

    def queue_depth(self, model: str, change: int) -> None:
        """So many more items, or fewer, wait now."""
        self._queue_depth.labels(model).inc(change)

    def inflight(self, model: str, delta: int) -> None:
        """See `BatchObserver.inflight`."""
        self._inflight_items.labels(model).inc(delta)

    def restarts(self) -> dict[str, int]:
        """How often engines were restarted, by what was before; nothing that never was."""
        samples = (sample for family in self._restarts.collect() for sample in family.samples)
        counts = {sample.labels["reason"]: int(sample.value) for sample in samples if sample.name.endswith("_total")}
        return {reason: count for reason, count in counts.items() if count}

    def engine_restarted(self, reason: RestartReason) -> None:
        """See `DeviceObserver.engine_restarted`."""
        self._restarts.labels(reason).inc()

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
