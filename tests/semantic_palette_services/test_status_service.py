"""What an operator gets to know of a running process."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from grpc_helpers import COMMAND, asynchronous, serving, serving_in_thread
from rich.console import Console
from secret_files import ADMIN_TOKEN, TOKEN, write_tokens

from semantic_palette import Client
from semantic_palette.client import Credentials, ServiceError
from semantic_palette.v1 import status_service_pb2 as pb
from semantic_palette_services.runtime.errors import DeadlineUnmetError
from semantic_palette_services.server.lifecycle import RunningServer
from semantic_palette_services.server.status_client import read_process_status
from semantic_palette_services.server.status_tables import status_tables

PAIRS = 12
OPERATOR = Credentials(token=ADMIN_TOKEN)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of tokens: alice may generate, the operator everything."""
    operator = {"name": "operator", "token": ADMIN_TOKEN, "scopes": ["generate", "admin"]}
    return write_tokens(tmp_path_factory.mktemp("tokens") / "tokens.json", {"name": "alice", "token": TOKEN}, operator)


@pytest.fixture(scope="module")
def worked(tiny_root: Path, tokens: Path) -> Iterator[RunningServer]:
    """A server that has made pairs, some of them deterministic."""
    with serving_in_thread(tiny_root, engine="auto", admin_port=0, auth_tokens=tokens) as (server, _):
        with Client(server.address, credentials=OPERATOR) as client:
            assert len(list(client.generate_pairs(PAIRS))) == PAIRS
            assert len(list(client.generate_pairs(2, deterministic=True))) == 2
        yield server


@pytest.fixture(scope="module")
def status(worked: RunningServer) -> pb.GetStatusResponse:
    """What was told right after that."""
    assert worked.admin_address is not None
    return asyncio.run(read_process_status(worked.admin_address, 10.0, OPERATOR))


def model(status: pb.GetStatusResponse, operation: str) -> pb.ModelStatus:
    (bundle,) = status.bundles
    (found,) = [model for model in bundle.models if model.operation == operation]
    return found


def test_the_process_is_described(worked: RunningServer, status: pb.GetStatusResponse) -> None:
    assert status.server_version
    assert status.uptime_seconds > 0
    assert status.ready
    services = {name.rpartition(".")[2] for name in status.services}
    assert {f"{name}Service" for name in ("Palette", "Layout", "Image", "Factory")} <= services
    assert {"python", "numpy", "grpcio", "onnxruntime"} <= status.libraries.keys()
    assert 0.0 <= status.device_busy_share <= 1.0
    assert worked.bundle is not None
    assert [bundle.bundle.digest for bundle in status.bundles] == [worked.bundle.digest]


def test_engines_are_told_with_the_figures_that_they_were_chosen_by(
    worked: RunningServer, status: pb.GetStatusResponse
) -> None:
    assert worked.bundle is not None
    for operation, served in worked.bundle.models.items():
        found = model(status, operation)
        assert [candidate.engine for candidate in found.candidates] == [c.key for c in served.choice.candidates]
        (chosen,) = [candidate for candidate in found.candidates if candidate.chosen]
        (deterministic,) = [candidate for candidate in found.candidates if candidate.deterministic]
        assert (chosen.engine, deterministic.engine) == (served.choice.chosen, served.choice.deterministic)
        assert chosen.accepted
        assert "golden samples" in chosen.reason
        assert chosen.batch_seconds.keys() == {1, 8}
        assert found.engine.precision in ("fp32", "bf16")


def test_batches_queues_and_fits_are_told(status: pb.GetStatusResponse) -> None:
    for operation in ("layout", "image"):
        found = model(status, operation)
        assert found.healthy
        assert (found.queue_depth, found.inflight) == (0, 0)
        assert dict(found.waiting) == {"interactive": 0, "bulk": 0}
        items = sum(size * number for size, number in found.batch_sizes.items())
        assert items == PAIRS + 2
        assert 0 < found.recent.items <= items
        assert 0 < found.recent.batches <= sum(found.batch_sizes.values())
        assert max(found.batch_sizes) <= found.max_batch_size
        assert 0.0 < found.recent.busy_seconds <= found.recent.seconds
        assert {fit.deterministic for fit in found.fits} == {True, False}
        for fit in found.fits:
            assert fit.seconds_per_item + fit.fixed_seconds > 0.0
            assert "float32[" in fit.inputs or "uint8[" in fit.inputs
    assert model(status, "layout_scores").recent.batches == 0


@asynchronous
async def test_sheds_restarts_and_callers_that_gave_up_are_counted(tiny_root: Path, tokens: Path) -> None:
    async with serving(tiny_root, admin_port=0, auth_tokens=tokens) as (server, _):
        assert server.admin_address is not None
        assert server.bundle is not None
        served = server.bundle.models["layout"]
        inputs = {**served.noise(0, 0, "layout"), "palette": np.full(6, 1 / 6, np.float32)}
        with pytest.raises(DeadlineUnmetError):
            await served.infer(inputs, deadline=0.0)
        given_up = asyncio.create_task(served.infer(inputs))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        server.metrics.engine_restarted("hung")
        answer = await read_process_status(server.admin_address, 10.0, OPERATOR)
        assert dict(model(answer, "layout").sheds) == {"deadline": 1}
        assert dict(model(answer, "layout").cancelled) == {"queued": 1}
        assert dict(answer.restarts) == {"hung": 1}


def test_tables_say_it_to_people(status: pb.GetStatusResponse) -> None:
    text = io.StringIO()
    console = Console(width=160, file=text)
    for table in status_tables(status):
        console.print(table)
    facts = ("tiny/1", "FactoryService", "golden samples", "deterministic", "layout_scores", "device busy", "numpy")
    for fact in facts:
        assert fact in text.getvalue()


def test_a_process_that_was_just_started_has_tables_too() -> None:
    empty = pb.GetStatusResponse(bundles=[pb.BundleStatus(models=[pb.ModelStatus(operation="layout")])])
    tables = list(status_tables(empty))
    assert len(tables) == 3


def run_status(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(COMMAND), "status", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_gives_json_to_programs(worked: RunningServer, tmp_path: Path) -> None:
    assert worked.admin_address is not None
    token = tmp_path / "token"
    token.write_text(ADMIN_TOKEN)
    addresses = ("--address", worked.address, "--admin-address", worked.admin_address)
    done = run_status(*addresses, "--token-file", str(token), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["serving"] is True
    assert {"palette", "layout", "image", "factory"} <= told["services"].keys()
    assert set(told["services"].values()) == {"SERVING"}
    assert told["bundle"]["digest"] == told["process"]["bundles"][0]["bundle"]["digest"]
    assert told["process"]["bundles"][0]["models"][0]["queue_depth"] == 0


def test_the_state_of_the_process_is_not_told_on_the_public_port(worked: RunningServer) -> None:
    with pytest.raises(ServiceError, match="UNIMPLEMENTED"):
        asyncio.run(read_process_status(worked.address, 10.0, OPERATOR))


@pytest.mark.parametrize("credentials", [Credentials(token=TOKEN), Credentials()])
def test_the_state_is_for_tokens_of_administrators(worked: RunningServer, credentials: Credentials) -> None:
    assert worked.admin_address is not None
    with pytest.raises(ServiceError):
        asyncio.run(read_process_status(worked.admin_address, 10.0, credentials))


def test_a_server_that_is_not_there_is_told_with_the_reason() -> None:
    done = run_status("--address", "127.0.0.1:1", "--timeout", "10")
    assert done.returncode == 1
    assert "UNAVAILABLE" in done.stdout
    assert "refused" in done.stdout
    asked = run_status("--address", "127.0.0.1:1", "--admin-address", "127.0.0.1:1", "--timeout", "10")
    assert asked.returncode != 0
    assert "127.0.0.1:1" in asked.stderr
