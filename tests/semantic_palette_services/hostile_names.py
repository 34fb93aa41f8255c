"""Names that are paths to those who use them as such, in every field of every request that is a name.

Run as a script with a model store, it serves it, asks for all of them and prints what the server touched of the file
system meanwhile, one line each.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
from grpc_helpers import Stubs, serving_in_thread
from secret_files import TOKEN, write_tokens

from semantic_palette.credentials import AuthorisedChannel, Credentials
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import image_service_pb2 as image
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette.v1 import model_service_pb2 as model
from semantic_palette.v1 import palette_service_pb2 as palette
from semantic_palette.v1.model_service_pb2_grpc import ModelServiceStub
from semantic_palette_services.access.callers import Scope
from semantic_palette_services.openinference.v2 import open_inference_pb2 as v2
from semantic_palette_services.openinference.v2.open_inference_pb2_grpc import GRPCInferenceServiceStub

NAMES = (
    "../../etc/passwd",
    "/etc/passwd",
    "../hostile-secret",
    "tiny/../hostile-secret",
    "tiny/1",
    "hostile/a/b",
    "..",
    ".",
    "~root",
    "hostile\x00name",
    "hostile\\..\\name",
    "file:///etc/passwd",
    "%2e%2e%2fhostile",
    "hostile" * 1000,
    "C:\\hostile",
)
"""Each is unmistakable in a path, or climbs out of one."""

Call = Callable[[], Any]


def public_calls(channel: Any, name: str) -> Iterator[Call]:
    """Calls of the public port with a name wherever there is one."""
    stubs = Stubs.of(channel)
    for bundle in (
        common.BundleSelector(name=name),
        common.BundleSelector(name="tiny", digest=name),
        common.BundleSelector(name="tiny", version=name),
    ):
        yield from _calls_for(stubs, bundle)
    constraints = common.Constraints(fixed={name: 0.5})
    palette_of_name = common.Palette(shares={name: 1.0})
    yield lambda: stubs.palette.SamplePalettes(palette.SamplePalettesRequest(count=1, constraints=constraints))
    item = layout.LayoutItem(palette=palette_of_name)
    yield lambda: stubs.layout.GenerateLayouts(layout.GenerateLayoutsRequest(items=[item]))
    given = factory.PaletteList(palettes=[palette_of_name])
    yield lambda: list(stubs.factory.GeneratePairs(factory.GeneratePairsRequest(count=1, palettes=given)))
    inference: Any = GRPCInferenceServiceStub(channel)
    for model_name, version in ((name, ""), ("layout", name)):
        yield lambda n=model_name, v=version: inference.ModelMetadata(v2.ModelMetadataRequest(name=n, version=v))
        yield lambda n=model_name, v=version: inference.ModelInfer(v2.ModelInferRequest(model_name=n, model_version=v))


def _calls_for(stubs: Stubs, bundle: common.BundleSelector) -> Iterator[Call]:
    yield lambda: stubs.palette.GetLabelSpace(palette.GetLabelSpaceRequest(bundle=bundle))
    yield lambda: stubs.palette.SamplePalettes(palette.SamplePalettesRequest(bundle=bundle, count=1))
    yield lambda: stubs.layout.GenerateLayouts(layout.GenerateLayoutsRequest(bundle=bundle))
    yield lambda: stubs.layout.EditLayouts(layout.EditLayoutsRequest(bundle=bundle))
    yield lambda: stubs.image.TranslateLayouts(image.TranslateLayoutsRequest(bundle=bundle))
    yield lambda: list(stubs.factory.GeneratePairs(factory.GeneratePairsRequest(bundle=bundle, count=1)))
    yield lambda: list(stubs.factory.EditPairs(factory.EditPairsRequest(bundle=bundle, count=1)))


def admin_calls(admin: Any, name: str) -> Iterator[Call]:
    """Calls of the admin port with a name wherever there is one."""
    yield lambda: admin.LoadBundle(model.LoadBundleRequest(name=name, version="1"))
    yield lambda: admin.LoadBundle(model.LoadBundleRequest(name="tiny", version=name))
    yield lambda: admin.LoadBundle(model.LoadBundleRequest(name="tiny", version="1", digest=name))
    yield lambda: admin.ActivateBundle(model.ActivateBundleRequest(name=name, version="1"))
    yield lambda: admin.ActivateBundle(model.ActivateBundleRequest(name="tiny", version=name))
    yield lambda: admin.RollbackBundle(model.RollbackBundleRequest(name=name))
    yield lambda: admin.UnloadBundle(model.UnloadBundleRequest(name=name, version="1"))
    yield lambda: admin.UnloadBundle(model.UnloadBundleRequest(name="tiny", version=name))


def outcome(call: Call, metadata: Any = None) -> grpc.RpcError | None:
    """The error that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        return error
    return None


class FileSystemWatch:
    """Paths that this process opens, lists, changes or asks about, from any thread, while it watches."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._on = False
        sys.addaudithook(self._hook)
        for name in ("stat", "lstat", "access", "readlink"):  # no audit event tells of these
            setattr(os, name, self._watched(name, getattr(os, name)))

    def __enter__(self) -> FileSystemWatch:
        self._on = True
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._on and (event == "open" or event.startswith(("os.", "shutil.", "glob.", "pathlib."))):
            self.seen.append(f"{event} {arguments[:2]!r}")

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            if self._on:
                self.seen.append(f"{name} {path!r}")
            return function(path, *args, **kwargs)

        return call


def main(store: Path) -> None:
    """Serves the store and prints a line for every use of the file system, after the name of the port."""
    with tempfile.TemporaryDirectory() as folder:
        both = {"name": "both", "token": TOKEN, "scopes": list(Scope)}
        tokens = write_tokens(Path(folder) / "tokens.json", both)
        with serving_in_thread(store, admin_port=0, auth_tokens=tokens) as (server, _):
            assert server.admin_address is not None
            metadata = Credentials(token=TOKEN).metadata()
            with (
                grpc.insecure_channel(server.address) as public,
                grpc.insecure_channel(server.admin_address) as private,
            ):
                channel: Any = AuthorisedChannel(public, metadata)
                admin = ModelServiceStub(AuthorisedChannel(private, metadata))
                watch = FileSystemWatch()
                calls = {
                    "public": lambda: [call for name in NAMES for call in public_calls(channel, name)],
                    "admin": lambda: [call for name in NAMES for call in admin_calls(admin, name)],
                }
                with watch:  # It sees what it is to see.
                    outcome(lambda: admin.LoadBundle(model.LoadBundleRequest(name="tiny", version="9")))
                assert any(str(store) in line for line in watch.seen), watch.seen
                for port, make in calls.items():
                    for call in make():  # Modules that are imported late are loaded now.
                        outcome(call)
                    watch.seen.clear()
                    with watch:
                        errors = [outcome(call) for call in make()]
                    assert all(errors), "every one of these is refused"
                    print(f"{port}: {len(errors)} calls")
                    for line in watch.seen:
                        if str(tokens) not in line:  # read again every second
                            print(f"{port}: {line}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
