"""gRPC face of what a server knows of itself."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable, Iterable, Sequence

from semantic_palette.v1 import status_service_pb2 as pb
from semantic_palette.v1.status_service_pb2_grpc import StatusServiceServicer
from semantic_palette_services import codecs
from semantic_palette_services.bundle_operations import BundleOperations
from semantic_palette_services.call_context import Context
from semantic_palette_services.runtime.batch_time import BatchFit
from semantic_palette_services.runtime.held_bundle import Held
from semantic_palette_services.runtime.registry import BundleRegistry
from semantic_palette_services.runtime.selection import Candidate, EngineChoice
from semantic_palette_services.runtime.served_model import ServedModel
from semantic_palette_services.runtime.statistics import RecentWork
from semantic_palette_services.server.health import Health
from semantic_palette_services.server.metrics import Metrics

_PACKAGE = "semantic-palette"
# What may change a pixel, or how fast it is there. Some are installed in the one or the other environment only.
_LIBRARIES = (
    *("numpy", "pillow", "protobuf", "grpcio"),
    *("onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "torch"),
)


class StatusServicer(StatusServiceServicer):
    """Reads the state of a server off its parts.

    Args:
        services: full names of the services.
        health: whether they serve.
        open_calls: gives the number of calls that have not ended.
        bundles: the bundles in memory; None where this process has none.
        metrics: have counted restarts.
        started: when the process began to start, by ``time.monotonic``.
    """

    def __init__(
        self,
        services: Sequence[str],
        health: Health,
        open_calls: Callable[[], int],
        bundles: BundleRegistry[BundleOperations] | None,
        metrics: Metrics,
        started: float,
    ) -> None:
        self._services = services
        self._health = health
        self._open_calls = open_calls
        self._bundles = bundles
        self._metrics = metrics
        self._started = started

    async def GetStatus(  # noqa: N802 - the name of the RPC
        self, request: pb.GetStatusRequest, context: Context
    ) -> pb.GetStatusResponse:
        """The state at this moment."""
        held = [] if self._bundles is None else self._bundles.held
        bundles = [_bundle(bundle) for bundle in held]
        return pb.GetStatusResponse(
            server_version=importlib.metadata.version(_PACKAGE),
            uptime_seconds=time.monotonic() - self._started,
            ready=self._health.ready,
            services=self._services,
            libraries=_library_versions(),
            bundles=bundles,
            open_calls=self._open_calls(),
            restarts=self._metrics.restarts(),
            device_busy_share=_busy_share(model.recent for bundle in bundles for model in bundle.models),
        )


def _busy_share(work: Iterable[pb.RecentWork]) -> float:
    """All models share the device, so their shares add up; of a batch that began before the minute all is counted."""
    return min(1.0, sum(recent.busy_seconds / recent.seconds for recent in work if recent.seconds > 0))


def _library_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _bundle(held: Held[BundleOperations]) -> pb.BundleStatus:
    loaded = held.bundle.loaded
    return pb.BundleStatus(
        bundle=codecs.bundle_to_proto(loaded),
        models=[_model(model) for model in loaded.models.values()],
        state=held.state.value,
        requests=held.leases,
    )


def _model(model: ServedModel) -> pb.ModelStatus:
    statistics = model.statistics.snapshot()
    return pb.ModelStatus(
        operation=model.operation,
        engine=codecs.engine_to_proto(model.engine),
        deterministic_engine=codecs.engine_to_proto(model.engine_for(deterministic=True)),
        candidates=[_candidate(candidate, model.choice) for candidate in model.choice.candidates],
        healthy=model.healthy,
        max_batch_size=model.max_batch_size,
        queue_depth=statistics.queue_depth,
        waiting={priority.value: count for priority, count in model.batcher.waiting().items()},
        inflight=statistics.inflight,
        batch_sizes=statistics.batch_sizes,
        fits=[_fit(fit) for fit in model.batcher.fits()],
        recent=_recent(statistics.recent),
        sheds=statistics.sheds,
        cancelled=statistics.cancelled,
        failed_batches=statistics.failed_batches,
    )


def _candidate(candidate: Candidate, choice: EngineChoice) -> pb.EngineCandidate:
    return pb.EngineCandidate(
        engine=candidate.key,
        accepted=candidate.accepted,
        reason=candidate.reason,
        batch_seconds=candidate.seconds,
        chosen=candidate.key == choice.chosen,
        deterministic=candidate.key == choice.deterministic,
    )


def _fit(fit: BatchFit) -> pb.BatchFit:
    return pb.BatchFit(
        inputs=fit.inputs,
        deterministic=fit.deterministic,
        seconds_per_item=fit.seconds_per_item,
        fixed_seconds=fit.fixed_seconds,
    )


def _recent(recent: RecentWork) -> pb.RecentWork:
    return pb.RecentWork(
        seconds=recent.seconds, batches=recent.batches, items=recent.items, busy_seconds=recent.busy_seconds
    )
