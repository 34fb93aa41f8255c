"""gRPC face of the model operation."""

from __future__ import annotations

from types import MappingProxyType

from semantic_palette.v1 import model_service_pb2 as pb
from semantic_palette.v1.model_service_pb2_grpc import ModelServiceServicer
from semantic_palette_services import codecs
from semantic_palette_services.bundle_operations import BundleOperations
from semantic_palette_services.call_context import Context
from semantic_palette_services.models.operation import ModelOperation, StoredBundle
from semantic_palette_services.runtime.held_bundle import BundleState, Held
from semantic_palette_services.runtime.served_model import ServedModel

_STATES = MappingProxyType(
    {
        BundleState.LOADED: pb.BUNDLE_STATE_LOADED,
        BundleState.ACTIVE: pb.BUNDLE_STATE_ACTIVE,
        BundleState.RETIRED: pb.BUNDLE_STATE_RETIRED,
    }
)


class ModelServicer(ModelServiceServicer):
    """Converts, and calls `ModelOperation`, which validates."""

    def __init__(self, operation: ModelOperation) -> None:
        self._operation = operation

    async def ListBundles(  # noqa: N802 - the name of the RPC
        self, request: pb.ListBundlesRequest, context: Context
    ) -> pb.ListBundlesResponse:
        """What is in memory, and what is in the store."""
        stored = await self._operation.stored()
        return pb.ListBundlesResponse(
            memory=[_held_to_proto(held) for held in self._operation.bundles.held],
            store=[_stored_to_proto(bundle) for bundle in stored],
            default_bundle=self._operation.bundles.default_name,
        )

    async def LoadBundle(  # noqa: N802 - the name of the RPC
        self, request: pb.LoadBundleRequest, context: Context
    ) -> pb.LoadBundleResponse:
        """Hold a version in memory."""
        held = await self._operation.load(request.name, request.version, request.digest)
        return pb.LoadBundleResponse(bundle=_held_to_proto(held))

    async def ActivateBundle(  # noqa: N802 - the name of the RPC
        self, request: pb.ActivateBundleRequest, context: Context
    ) -> pb.ActivateBundleResponse:
        """Give a version the requests that pin none."""
        activation = await self._operation.activate(
            request.name, request.version, request.digest, keep_previous=request.keep_previous
        )
        return pb.ActivateBundleResponse(
            bundle=_held_to_proto(activation.held), previous_version=activation.previous or ""
        )

    async def RollbackBundle(  # noqa: N802 - the name of the RPC
        self, request: pb.RollbackBundleRequest, context: Context
    ) -> pb.RollbackBundleResponse:
        """Activate the version before."""
        activation = await self._operation.roll_back(request.name)
        return pb.RollbackBundleResponse(
            bundle=_held_to_proto(activation.held), previous_version=activation.previous or ""
        )

    async def UnloadBundle(  # noqa: N802 - the name of the RPC
        self, request: pb.UnloadBundleRequest, context: Context
    ) -> pb.UnloadBundleResponse:
        """Free the memory of a version."""
        requests = await self._operation.unload(request.name, request.version, force=request.force)
        return pb.UnloadBundleResponse(requests=requests)


def _held_to_proto(held: Held[BundleOperations]) -> pb.BundleInMemory:
    loaded = held.bundle.loaded
    return pb.BundleInMemory(
        bundle=codecs.bundle_to_proto(loaded),
        state=_STATES[held.state],
        requests=held.leases,
        load_seconds=held.bundle.load_seconds,
        models=[_model_to_proto(model) for model in loaded.models.values()],
    )


def _model_to_proto(model: ServedModel) -> pb.ModelInMemory:
    return pb.ModelInMemory(
        operation=model.operation,
        engine=codecs.engine_to_proto(model.engine),
        deterministic_engine=codecs.engine_to_proto(model.engine_for(deterministic=True)),
        max_batch_size=model.max_batch_size,
        explanation=model.choice.explain(),
    )


def _stored_to_proto(bundle: StoredBundle) -> pb.BundleInStore:
    return pb.BundleInStore(
        name=bundle.name,
        versions=bundle.versions,
        active_version=bundle.active or "",
        previous_version=bundle.previous or "",
    )
