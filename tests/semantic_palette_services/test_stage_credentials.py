"""A factory whose stages are in other processes, and ask for tokens and certificates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_helpers import asynchronous, eventually, local_settings, sample
from secret_files import TOKEN, Pki, write_tokens

from semantic_palette.errors import InvalidInputError
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1.factory_service_pb2_grpc import FactoryServiceStub
from semantic_palette_services.server import reloading
from semantic_palette_services.server.lifecycle import RunningServer, run_server
from semantic_palette_services.server.reloading import SecretFileError
from semantic_palette_services.server.settings import read_settings

OTHER_TOKEN = "oth-3mN8bV5cXz1aSd7fGh2jKl9qWeRt4yUi"
STAGES: tuple[Any, ...] = ("palette", "layout", "image")


@pytest.fixture(autouse=True)
def frequent_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "POLL_SECONDS", 0.02)


@asynccontextmanager
async def two_tiers(
    root: Path, stage: dict[str, Any], front: dict[str, Any]
) -> AsyncIterator[tuple[RunningServer, RunningServer]]:
    """A server with palettes, layouts and images, and one with the factory before it."""
    async with run_server(local_settings(root, services=STAGES, **stage)) as behind:
        addresses = {f"{name}_address": behind.address for name in STAGES}
        async with run_server(local_settings(root, services=("factory",), **addresses, **front)) as before:
            yield behind, before


async def pairs(server: RunningServer) -> list[int]:
    """The indices of three pairs of a factory that asks for nothing itself."""
    async with aio.insecure_channel(server.address) as channel:
        stub: Any = FactoryServiceStub(channel)
        call = stub.GeneratePairs(factory.GeneratePairsRequest(count=3))
        return [response.pair.provenance.index async for response in call]


def token_file(path: Path, token: str = TOKEN) -> Path:
    path.write_text(token + "\n")
    return path


@asynchronous
async def test_the_factory_shows_its_token_and_certificate_to_the_stages(tiny_root: Path, tmp_path: Path) -> None:
    pki = Pki.create(tmp_path / "pki")
    tokens = write_tokens(tmp_path / "tokens.json", {"name": "factory", "token": TOKEN})
    certificate, key = pki.issue("factory", "factory.example.org")
    stage = pki.server_settings() | {"tls_client_ca": pki.ca, "auth_tokens": tokens}
    front = {
        "stage_token_file": token_file(tmp_path / "token"),
        "stage_ca": pki.ca,
        "stage_certificate": certificate,
        "stage_key": key,
    }
    async with two_tiers(tiny_root, stage, front) as (_, before):
        assert await pairs(before) == [0, 1, 2]


@asynchronous
async def test_a_token_that_the_stages_do_not_know_is_our_fault_and_not_the_callers(
    tiny_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = write_tokens(tmp_path / "tokens.json", {"name": "factory", "token": TOKEN})
    front = {"stage_token_file": token_file(tmp_path / "token", OTHER_TOKEN)}
    async with two_tiers(tiny_root, {"auth_tokens": tokens}, front) as (_, before):
        with pytest.raises(aio.AioRpcError) as caught:
            await pairs(before)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "internal error" in (caught.value.details() or "")
    assert OTHER_TOKEN not in caplog.text


@asynchronous
async def test_token_and_certificates_of_the_factory_are_renewed_while_it_runs(tiny_root: Path, tmp_path: Path) -> None:
    pki, renewed = Pki.create(tmp_path / "pki"), Pki.create(tmp_path / "renewed")
    tokens = write_tokens(tmp_path / "tokens.json", {"name": "factory", "token": TOKEN})
    stage = pki.server_settings()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pki.ca.read_bytes())
    front = {"stage_token_file": token_file(tmp_path / "token"), "stage_ca": ca}
    async with two_tiers(tiny_root, stage | {"auth_tokens": tokens}, front) as (behind, before):
        assert await pairs(before) == [0, 1, 2]
        write_tokens(tokens, {"name": "factory", "token": OTHER_TOKEN})
        for path, new in zip(stage.values(), renewed.issue(), strict=True):
            path.write_bytes(new.read_bytes())
        token_file(tmp_path / "token", OTHER_TOKEN)
        ca.write_bytes(renewed.ca.read_bytes())
        for server, what in ((behind, "tls"), (behind, "auth_tokens"), (before, "stage_credentials")):
            await eventually(lambda server=server, what=what: reloads(server, what) >= 1)  # type: ignore[misc]
        await eventually_pairs(before)


async def eventually_pairs(server: RunningServer) -> None:
    """Both files of the factory may have been read apart, so that one poll has only the first of them."""
    for attempt in range(100):
        try:
            assert await pairs(server) == [0, 1, 2]
            return
        except aio.AioRpcError:
            assert attempt < 99


def reloads(server: RunningServer, what: str) -> float:
    return sample(server, "semantic_palette_reloads_total", what=what, result="ok")


@asynchronous
async def test_stage_credentials_that_are_none_stop_the_start(tiny_root: Path, tmp_path: Path) -> None:
    addresses = {f"{name}_address": "127.0.0.1:1" for name in STAGES}
    pki = Pki.create(tmp_path / "pki")
    certificate, key = pki.issue()
    _, other_key = pki.issue("other")
    empty = tmp_path / "empty"
    empty.write_text("")
    wrong = [
        ({"stage_ca": key}, "stage_ca"),
        ({"stage_certificate": certificate, "stage_key": other_key}, "stage_key"),
        ({"stage_token_file": empty}, "stage_token_file"),
        ({"stage_token_file": tmp_path / "nowhere"}, "stage_token_file"),
    ]
    for given, setting in wrong:
        with pytest.raises(SecretFileError) as caught:
            async with run_server(local_settings(tiny_root, services=("factory",), **addresses, **given)):
                pass
        assert caught.value.setting == setting
    with pytest.raises(InvalidInputError, match="stage_key"):
        read_settings(stage_certificate=certificate)


@asynchronous
async def test_a_stage_token_does_not_cross_a_network_in_plaintext(tiny_root: Path, tmp_path: Path) -> None:
    addresses = {f"{name}_address": f"dns:///{name}:50051" for name in STAGES}
    settings = {"services": ("factory",), "stage_token_file": token_file(tmp_path / "token"), **addresses}
    with pytest.raises(InvalidInputError, match="a token is sent over TLS"):
        async with run_server(local_settings(tiny_root, **settings)):
            pass
    async with run_server(local_settings(tiny_root, **settings, allow_plaintext_tokens=True)):
        pass
