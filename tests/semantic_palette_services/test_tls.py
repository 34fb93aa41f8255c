"""TLS and mutual TLS of a server, with certificates that change while it runs."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from grpc_helpers import asynchronous, eventually, local_settings, sample, serving
from secret_files import Pki

from semantic_palette.client import AsyncClient, Credentials, RetryPolicy, UnavailableError
from semantic_palette.errors import InvalidInputError
from semantic_palette_services.server import reloading
from semantic_palette_services.server.lifecycle import RunningServer, run_server
from semantic_palette_services.server.reloading import SecretFileError
from semantic_palette_services.server.settings import read_settings

ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture(autouse=True)
def frequent_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "POLL_SECONDS", 0.02)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki.create(tmp_path / "pki")


async def connects(server: RunningServer, credentials: Credentials) -> bool:
    """Whether a new connection is made, and a call on it answered."""
    async with AsyncClient(server.address, retry=ONCE, timeout=20, credentials=credentials) as client:
        try:
            return (await client.label_space()).identity.name == "tiny"
        except UnavailableError:
            return False


def replace(path: Path, content: bytes) -> None:
    """Replaces a file in one step: no poll sees it half-written unless the content is."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, path)


def reloads(server: RunningServer, result: str) -> float:
    return sample(server, "semantic_palette_reloads_total", what="tls", result=result)


@asynchronous
async def test_a_server_with_a_certificate_answers_over_tls_alone(tiny_root: Path, pki: Pki, tmp_path: Path) -> None:
    other = Pki.create(tmp_path / "other")
    async with serving(tiny_root, services=("palette",), **pki.server_settings()) as (server, _):
        assert await connects(server, pki.client())
        assert not await connects(server, other.client())
        assert not await connects(server, Credentials())


@asynchronous
async def test_a_client_refuses_a_server_of_another_name_or_another_time(
    tiny_root: Path, pki: Pki, tmp_path: Path
) -> None:
    week = timedelta(days=7)
    expired = pki.authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - week)
    certificate, key = tmp_path / "expired.pem", tmp_path / "expired.key"
    expired.cert_chain_pems[0].write_to_path(str(certificate))
    expired.private_key_pem.write_to_path(str(key))
    for wrong_certificate, wrong_key in (pki.issue("example", "example.org"), (certificate, key)):
        settings = {"tls_certificate": wrong_certificate, "tls_key": wrong_key}
        async with serving(tiny_root, services=("palette",), **settings) as (server, _):
            assert not await connects(server, pki.client())


@asynchronous
async def test_mutual_tls_refuses_clients_without_a_certificate_of_its_ca(
    tiny_root: Path, pki: Pki, tmp_path: Path
) -> None:
    other = Pki.create(tmp_path / "clients")
    settings = pki.server_settings() | {"tls_client_ca": other.ca}
    certificate, key = other.issue("alice", "alice@example.org")
    wrong_certificate, wrong_key = pki.issue("mallory", "mallory@example.org")
    async with serving(tiny_root, services=("palette",), **settings) as (server, _):
        assert await connects(server, Credentials(ca=pki.ca, certificate=certificate, key=key))
        assert not await connects(server, Credentials(ca=pki.ca))
        assert not await connects(server, Credentials(ca=pki.ca, certificate=wrong_certificate, key=wrong_key))


@asynchronous
async def test_new_connections_get_a_renewed_certificate_and_old_ones_live_on(
    tiny_root: Path, pki: Pki, tmp_path: Path
) -> None:
    renewed = Pki.create(tmp_path / "renewed")
    certificate, key = pki.issue()
    async with (
        serving(tiny_root, services=("palette",), tls_certificate=certificate, tls_key=key) as (server, _),
        AsyncClient(server.address, retry=ONCE, credentials=pki.client()) as early,
    ):
        assert (await early.sample_palettes(1))[0] is not None
        for path, new in zip((certificate, key), renewed.issue(), strict=True):
            path.write_bytes(new.read_bytes())
        await eventually(lambda: reloads(server, "ok") >= 1)
        assert await connects(server, renewed.client())
        assert not await connects(server, pki.client())
        assert (await early.sample_palettes(1))[0] is not None


@asynchronous
async def test_a_secret_that_kubernetes_swaps_by_a_link_is_reloaded(tiny_root: Path, pki: Pki, tmp_path: Path) -> None:
    folder, renewed = tmp_path / "secret", Pki.create(tmp_path / "renewed")
    folder.mkdir()
    # The files are links through a folder that is a link itself, and that alone is replaced.
    for version, authority in (("..1", pki), ("..2", renewed)):
        (folder / version).mkdir()
        for name, path in zip(("tls.crt", "tls.key"), authority.issue(), strict=True):
            (folder / version / name).write_bytes(path.read_bytes())
    (folder / "..data").symlink_to("..1")
    for name in ("tls.crt", "tls.key"):
        (folder / name).symlink_to(Path("..data") / name)
    settings = {"tls_certificate": folder / "tls.crt", "tls_key": folder / "tls.key"}
    async with serving(tiny_root, services=("palette",), **settings) as (server, _):
        assert await connects(server, pki.client())
        (folder / "..new").symlink_to("..2")
        os.replace(folder / "..new", folder / "..data")
        await eventually(lambda: reloads(server, "ok") >= 1)
        assert await connects(server, renewed.client())


@asynchronous
async def test_a_half_written_certificate_changes_nothing_and_is_reported_once(
    tiny_root: Path, pki: Pki, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    renewed = Pki.create(tmp_path / "renewed")
    certificate, key = pki.issue()
    async with serving(tiny_root, services=("palette",), tls_certificate=certificate, tls_key=key) as (server, _):
        new_certificate, new_key = (path.read_bytes() for path in renewed.issue())
        replace(certificate, new_certificate)
        await eventually(lambda: reloads(server, "refused") == 1)
        assert await connects(server, pki.client())
        replace(key, new_key[:100])
        await eventually(lambda: reloads(server, "refused") == 2)
        key.unlink()
        await eventually(lambda: reloads(server, "refused") == 3)
        assert await connects(server, pki.client())
        assert sum("not reloaded" in message for message in caplog.messages) == 3
        replace(key, new_key)
        await eventually(lambda: reloads(server, "ok") == 1)
        assert await connects(server, renewed.client())
    assert new_key.decode().splitlines()[1][:20] not in caplog.text


@asynchronous
async def test_the_expiry_of_the_certificate_is_a_metric(tiny_root: Path, pki: Pki) -> None:
    settings = pki.server_settings()
    async with serving(tiny_root, services=("palette",), **settings) as (server, _):
        assert sample(server, "semantic_palette_tls_certificate_expiry_timestamp_seconds", what="tls") > 1e9


@asynchronous
async def _start(root: Path, **settings: Path) -> None:
    async with run_server(local_settings(root, services=("palette",), **settings)):
        raise AssertionError("it started")


def test_a_server_does_not_start_with_files_that_are_no_identity(tiny_root: Path, pki: Pki, tmp_path: Path) -> None:
    certificate, key = pki.issue()
    _, other_key = pki.issue("other")
    with pytest.raises(SecretFileError, match="tls_key: the key is not that of tls_certificate"):
        _start(tiny_root, tls_certificate=certificate, tls_key=other_key)
    with pytest.raises(SecretFileError, match="tls_certificate: PEM certificates are needed"):
        _start(tiny_root, tls_certificate=key, tls_key=key)
    with pytest.raises(SecretFileError, match="tls_key: a PEM private key without a password is needed"):
        _start(tiny_root, tls_certificate=certificate, tls_key=certificate)
    with pytest.raises(SecretFileError, match=r"tls_key: .* cannot be read: No such file"):
        _start(tiny_root, tls_certificate=certificate, tls_key=tmp_path / "nowhere")
    with pytest.raises(SecretFileError, match="tls_client_ca: PEM certificates are needed"):
        _start(tiny_root, tls_certificate=certificate, tls_key=key, tls_client_ca=key)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"tls_certificate": "c.pem"}, "tls_key"),
        ({"tls_key": "c.key"}, "tls_certificate"),
        ({"tls_client_ca": "ca.pem"}, "tls_client_ca"),
    ],
)
def test_settings_of_half_a_tls_are_refused(given: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_settings(**given)
    assert caught.value.field == field
