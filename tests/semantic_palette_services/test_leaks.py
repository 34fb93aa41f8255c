"""What callers get to know of the server: nothing of its files, its code or its secrets."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import hostile_names
import pytest
from grpc_helpers import Stubs, serving_in_process, serving_in_thread
from secret_files import ADMIN_TOKEN, TOKEN, Pki, write_tokens
from tiny_bundle import NAMES, POISON_CLASS, corrupt, write_tiny_bundle

from semantic_palette.credentials import AuthorisedChannel, Credentials
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import image_service_pb2 as image
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette.v1 import model_service_pb2 as model
from semantic_palette.v1 import palette_service_pb2 as palette
from semantic_palette.v1.model_service_pb2_grpc import ModelServiceStub

_REVEALING = re.compile(
    r"/(srv|tmp|home|root|usr|var|opt|work|proc)/|site-packages|\.py\b|0x[0-9a-f]{6}|Traceback|onnxruntime::"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store whose version 2 is corrupt, 3 has no readable manifest, and 1 fails on items of one class."""
    root = tmp_path_factory.mktemp("leaks") / "model_store"
    write_tiny_bundle(root, poison=("layout", "image"))
    for version in ("2", "3"):
        write_tiny_bundle(root, version=version, activate=False)
    corrupt(root / "tiny" / "2" / "image.onnx")
    (root / "tiny" / "3" / "manifest.json").write_text("{")
    (root / "empty").mkdir()
    return root


@pytest.fixture(scope="module")
def channels(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """Channels to the public and to the admin port of a server of that store, with a token for both."""
    both = {"name": "both", "token": TOKEN, "scopes": ["generate", "admin"]}
    tokens = write_tokens(tmp_path_factory.mktemp("tokens") / "tokens.json", both)
    with serving_in_thread(store, admin_port=0, auth_tokens=tokens) as (server, plain):
        assert server.admin_address is not None
        metadata = Credentials(token=TOKEN).metadata()
        with grpc.insecure_channel(server.admin_address) as admin:
            yield AuthorisedChannel(plain.channel, metadata), AuthorisedChannel(admin, metadata)


def said(error: Any) -> str:
    """All that a caller gets to see of an error: its message and its trailers."""
    trailers = [value if isinstance(value, str) else value.decode("latin-1") for _, value in error.trailing_metadata()]
    return "\n".join([error.details(), *trailers])


def failures(channels: tuple[Any, Any]) -> Iterator[tuple[Any, grpc.StatusCode]]:
    """Calls that fail for reasons that have to do with files and code, and how they end."""
    codes = grpc.StatusCode
    stubs, admin = Stubs.of(channels[0]), ModelServiceStub(channels[1])
    for version, code in (("2", codes.FAILED_PRECONDITION), ("3", codes.FAILED_PRECONDITION), ("9", codes.NOT_FOUND)):
        request = model.LoadBundleRequest(name="tiny", version=version)
        yield lambda request=request: admin.LoadBundle(request), code
    digest = "0" * 64
    request = model.LoadBundleRequest(name="tiny", version="1", digest=digest)
    yield lambda: admin.LoadBundle(request), codes.FAILED_PRECONDITION
    yield lambda: admin.RollbackBundle(model.RollbackBundleRequest(name="tiny")), codes.NOT_FOUND
    yield lambda: admin.ActivateBundle(model.ActivateBundleRequest(name="empty", version="1")), codes.NOT_FOUND
    poison = layout.LayoutItem(palette=common.Palette(shares={NAMES[POISON_CLASS]: 1.0}))
    yield lambda: stubs.layout.GenerateLayouts(layout.GenerateLayoutsRequest(items=[poison])), codes.INTERNAL
    given = factory.PaletteList(palettes=[poison.palette])
    yield (
        lambda: list(stubs.factory.GeneratePairs(factory.GeneratePairsRequest(count=1, palettes=given))),
        codes.INTERNAL,
    )
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x20\0\0\0\x10\x08\0\0\0\0"
    for data in (b"", b"no image", header, header + bytes(50)):
        item = image.ImageItem(layout=common.LabelMap(encoding=common.LABEL_ENCODING_PNG, data=data))
        request_of_images = image.TranslateLayoutsRequest(items=[item])
        yield lambda request=request_of_images: stubs.image.TranslateLayouts(request), codes.INVALID_ARGUMENT


def test_failures_of_files_and_code_reveal_neither(channels: tuple[Any, Any], store: Path) -> None:
    for call, code in failures(channels):
        error: Any = hostile_names.outcome(call)
        assert error is not None
        assert error.code() is code, error.details()
        assert not _REVEALING.search(said(error)), said(error)
        assert str(store) not in said(error)
        assert str(store.parent) not in said(error)


@pytest.mark.parametrize("name", hostile_names.NAMES)
def test_hostile_names_are_refused_and_reveal_nothing(channels: tuple[Any, Any], store: Path, name: str) -> None:
    public, admin = channels
    calls = [*hostile_names.public_calls(public, name), *hostile_names.admin_calls(ModelServiceStub(admin), name)]
    for call in calls:
        error: Any = hostile_names.outcome(call)
        assert error is not None
        assert error.code().name in ("NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "UNIMPLEMENTED")
        assert not _REVEALING.search(said(error).replace(name, "")), said(error)
        assert str(store) not in said(error)


def test_no_name_of_a_request_reaches_the_file_system(tiny_root: Path) -> None:
    run = subprocess.run(
        [sys.executable, hostile_names.__file__, str(tiny_root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    asked = [line for line in lines if re.fullmatch(r"(public|admin): \d+ calls", line)]
    assert len(asked) == 2
    touched = [line for line in lines if line not in asked]
    assert not [line for line in touched if line.startswith("public: ")]
    # Administrators ask the store for versions: for names that are single components and climb nowhere.
    assert not [line for line in touched if any(name in line for name in ("hostile", "passwd", "..", "~", "%2e"))]
    assert all(str(tiny_root) in line for line in touched)


def test_the_log_has_no_secret_at_its_most_talkative(tiny_root: Path, tmp_path: Path) -> None:
    pki = Pki.create(tmp_path / "pki")
    settings = pki.server_settings()
    both = {"name": "both", "token": ADMIN_TOKEN, "scopes": ["generate", "admin"]}
    alice = {"name": "alice", "token": TOKEN, "pairs_per_second": 1}
    tokens = write_tokens(tmp_path / "tokens.json", alice, both)
    environment = {
        "SEMANTIC_PALETTE_LOG_LEVEL": "debug",
        "SEMANTIC_PALETTE_ADMIN_PORT": "0",
        "SEMANTIC_PALETTE_AUTH_TOKENS": str(tokens),
        "SEMANTIC_PALETTE_TLS_CERTIFICATE": str(settings["tls_certificate"]),
        "SEMANTIC_PALETTE_TLS_KEY": str(settings["tls_key"]),
    }
    wrong = "wrong-7dK2sLq9XbVn4mTz8RcYp3wEuJhGf6aS"
    with serving_in_process(tiny_root, environment=environment) as server:
        for token in (TOKEN, ADMIN_TOKEN, wrong):
            credentials = Credentials(token=token, ca=pki.ca)
            roots = grpc.ssl_channel_credentials(pki.ca.read_bytes())
            with grpc.secure_channel(server.address, roots) as channel:
                stubs = Stubs.of(AuthorisedChannel(channel, credentials.metadata()))  # type: ignore[arg-type]
                for call in (
                    lambda stubs=stubs: stubs.palette.GetLabelSpace(palette.GetLabelSpaceRequest()),
                    lambda stubs=stubs: stubs.layout.GenerateLayouts(layout.GenerateLayoutsRequest()),
                    lambda stubs=stubs: list(stubs.factory.GeneratePairs(factory.GeneratePairsRequest(count=2))),
                ):
                    hostile_names.outcome(call)
        key = pki.issue("server")[1].read_text()  # renewed while it runs
        tokens.write_text(tokens.read_text()[:-20])  # and what is no file of tokens
        wait_for(server.log, "tls: reloaded", "auth_tokens: not reloaded")
        assert server.terminate() == 0
        log = "".join(server.log)
    secrets = {TOKEN, ADMIN_TOKEN, wrong, *key.splitlines()[1:3], *settings["tls_key"].read_text().splitlines()[1:3]}
    assert not [secret for secret in secrets if secret in log]
    assert "draining" in log


def wait_for(log: list[str], *texts: str) -> None:
    """Wait until every text is in the log of a server."""
    deadline = time.monotonic() + 30
    while not all(any(text in line for line in log) for text in texts):
        assert time.monotonic() < deadline, "".join(log)
        time.sleep(0.05)
