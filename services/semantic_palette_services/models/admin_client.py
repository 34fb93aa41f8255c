"""What ``semantic-palette models ... --address`` asks of a running server, and how it tells the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from google.protobuf.message import Message
from grpc import aio

from semantic_palette._service_errors import service_error
from semantic_palette.credentials import AuthorisedChannel, Credentials
from semantic_palette.grpc_conventions import CONNECTION_OPTIONS, channel_target
from semantic_palette.v1 import common_pb2
from semantic_palette.v1 import model_service_pb2 as pb
from semantic_palette.v1.model_service_pb2_grpc import ModelServiceStub

Answer = TypeVar("Answer", bound=Message)


class AdminClient:
    """Speaks to the admin port of a server; every method returns what to tell the user.

    Args:
        address: ``HOST:PORT`` or a gRPC target.
        timeout: seconds to wait for an answer.
        credentials: of every call.

    Raises:
        InvalidInputError: by the class, the address cannot be one.
        ServiceError: by its methods, the server refused or did not answer.
    """

    def __init__(self, address: str, timeout: float, credentials: Credentials) -> None:
        channel_target(address)
        self._address = address
        self._timeout = timeout
        self._credentials = credentials

    def list_bundles(self) -> Iterator[str]:
        """A line for each version in memory, then one for each bundle in the store."""
        answer: pb.ListBundlesResponse = self._call(lambda stub: stub.ListBundles, pb.ListBundlesRequest())
        yield "in memory:"
        for bundle in answer.memory:
            name = _name(bundle.bundle)
            default = ", default" if bundle.bundle.name == answer.default_bundle and _is_active(bundle) else ""
            yield f"  {name}  {_state(bundle)}{default}, {bundle.requests} requests, {_engines(bundle)}"
            yield f"    digest {bundle.bundle.digest}"
        yield "in the store:"
        for stored in answer.store:
            versions = (f"{v}*" if v == stored.active_version else v for v in stored.versions)
            yield f"  {stored.name}: {' '.join(versions)}"

    def load(self, name: str, version: str, digest: str) -> str:
        """Load a version."""
        request = pb.LoadBundleRequest(name=name, version=version, digest=digest)
        answer: pb.LoadBundleResponse = self._call(lambda stub: stub.LoadBundle, request)
        bundle = answer.bundle
        return f"{_name(bundle.bundle)} is {_state(bundle)}; loaded in {bundle.load_seconds:.1f} s: {_engines(bundle)}"

    def activate(self, name: str, version: str, digest: str, keep_previous: bool) -> str:
        """Activate a version."""
        request = pb.ActivateBundleRequest(name=name, version=version, digest=digest, keep_previous=keep_previous)
        answer: pb.ActivateBundleResponse = self._call(lambda stub: stub.ActivateBundle, request)
        return _activated(answer.bundle, answer.previous_version)

    def roll_back(self, name: str) -> str:
        """Activate the version before."""
        request = pb.RollbackBundleRequest(name=name)
        answer: pb.RollbackBundleResponse = self._call(lambda stub: stub.RollbackBundle, request)
        return _activated(answer.bundle, answer.previous_version)

    def unload(self, name: str, version: str, force: bool) -> str:
        """Unload a version."""
        request = pb.UnloadBundleRequest(name=name, version=version, force=force)
        answer: pb.UnloadBundleResponse = self._call(lambda stub: stub.UnloadBundle, request)
        if answer.requests:
            return f"{name}/{version} is unloaded when its {answer.requests} requests and streams have ended"
        return f"{name}/{version} is unloaded"

    def _call(self, method: Callable[[Any], Any], request: Message) -> Any:
        async def call() -> Any:
            async with self._credentials.open_channel(self._address, CONNECTION_OPTIONS) as channel:
                authorised = AuthorisedChannel(channel, self._credentials.metadata())
                stub = ModelServiceStub(authorised)  # type: ignore[no-untyped-call]
                try:
                    return await method(stub)(request, timeout=self._timeout)
                except aio.AioRpcError as error:
                    raise service_error(error, self._address) from error

        return asyncio.run(call())


def _activated(bundle: pb.BundleInMemory, previous: str) -> str:
    before = f"; before it was version {previous}" if previous else ""
    return f"{bundle.bundle.name}: version {bundle.bundle.version} is active{before}"


def _name(bundle: common_pb2.BundleIdentity) -> str:
    return f"{bundle.name}/{bundle.version}"


def _is_active(bundle: pb.BundleInMemory) -> bool:
    return bundle.state == pb.BUNDLE_STATE_ACTIVE


def _state(bundle: pb.BundleInMemory) -> str:
    return pb.BundleState.Name(bundle.state).removeprefix("BUNDLE_STATE_").lower()


def _engines(bundle: pb.BundleInMemory) -> str:
    models = (f"{model.operation}: {model.engine.engine} {model.engine.precision}" for model in bundle.models)
    return ", ".join(models) or "no model"
