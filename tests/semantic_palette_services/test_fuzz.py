"""Every RPC with random and mutated messages: no crash, no INTERNAL, no hang. `make fuzz` does the same for longer."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from fuzz import corpus
from fuzz.calls import Outcome, channel_to, make_call
from fuzz.cases import Case, make_case
from fuzz.methods import Method
from fuzz.runner import fuzz
from fuzz.servers import Target, targets
from fuzz.strangers import approach
from fuzz.verdict import faults

from semantic_palette.v1 import layout_service_pb2 as layout

SECONDS, LEAST = 10.0, 1000

METHOD = Method(
    "/semantic_palette.v1.LayoutService/GenerateLayouts",
    layout.GenerateLayoutsRequest,
    layout.GenerateLayoutsResponse,
    streams=False,
)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Target]]:
    with targets(tmp_path_factory.mktemp("fuzz")) as servers:
        yield servers


def test_what_is_mutated_is_valid_to_begin_with(servers: list[Target]) -> None:
    async def ask_all() -> None:
        for server in servers:
            async with channel_to(server.address) as channel:
                for method in server.methods:
                    requests = corpus.REQUESTS.get(method.path)
                    assert requests, f"{method.path} has no valid request in fuzz/corpus.py to begin with"
                    for request in requests:
                        case = Case("valid", method, request.SerializeToString())
                        outcome = await make_call(server.address, channel, case, server.metadata)
                        assert outcome.code is grpc.StatusCode.OK or method.endless, outcome
                        assert outcome.answers

    asyncio.run(ask_all())


def test_random_and_mutated_messages_neither_crash_nor_hang_nor_are_internal_errors(
    servers: list[Target], tmp_path: Path
) -> None:
    report = asyncio.run(fuzz(servers, 0, SECONDS, LEAST, tmp_path))
    assert not report.failures, "\n".join(report.failures)
    for method in (method for server in servers for method in server.methods if method.ours):
        answers = [report.calls[method.path, code] for code in ("OK", "INVALID_ARGUMENT", "NOT_FOUND")]
        assert sum(answers) >= 10, report.lines()
        assert report.calls[method.path, "INVALID_ARGUMENT"], report.lines()


def test_strangers_who_speak_no_grpc_leave_no_trace(servers: list[Target]) -> None:
    server = servers[0]
    asyncio.run(server.settle())
    process = server.process
    descriptors = len(os.listdir(f"/proc/{process.process.pid}/fd"))
    approach(int(server.address.rpartition(":")[2]), seed=0, visits=64)
    approach(process.health_port, seed=1, visits=64)
    approach(process.metrics_port, seed=2, visits=5)  # as many as its backlog holds
    assert asyncio.run(server.faults()) == []
    deadline = time.monotonic() + 30.0
    while len(os.listdir(f"/proc/{process.process.pid}/fd")) > descriptors + 2:
        assert time.monotonic() < deadline, "connections of strangers are still open"
        time.sleep(0.1)


def test_a_failure_is_found_and_can_be_had_again(tmp_path: Path) -> None:
    async def find_and_repeat(server: Target) -> None:
        server.methods = [method for method in server.methods if method.path.endswith("/GeneratePairs")]
        report = await fuzz([server], 0, 60.0, 1, tmp_path / "failures")
        assert any("INTERNAL" in failure for failure in report.failures)
        assert server.process.process.poll() is None
        kept = next((tmp_path / "failures").iterdir())
        assert any(str(kept) in failure for failure in report.failures)
        async with channel_to(server.address) as channel:
            case = Case("replay", server.methods[0], kept.read_bytes())
            assert faults(case, await make_call(server.address, channel, case, server.metadata))

    with targets(tmp_path, poison=("layout",)) as (everything, *_):
        asyncio.run(find_and_repeat(everything))


def test_cases_depend_on_their_seed_and_number_alone() -> None:
    cases = [make_case(1, number, [METHOD]) for number in range(50)]
    assert cases == [make_case(1, number, [METHOD]) for number in range(50)]
    assert len({case.data for case in cases}) > 40
    assert cases != [make_case(2, number, [METHOD]) for number in range(50)]


_NAN = layout.GenerateLayoutsResponse(layouts=[layout.GeneratedLayout(kl=float("nan"))]).SerializeToString()


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome(grpc.StatusCode.INTERNAL), "INTERNAL"),
        (Outcome(grpc.StatusCode.UNKNOWN), "UNKNOWN"),
        (Outcome(grpc.StatusCode.UNAVAILABLE), "UNAVAILABLE"),
        (Outcome(grpc.StatusCode.DEADLINE_EXCEEDED), "DEADLINE_EXCEEDED"),
        (Outcome(error="no status"), "no status"),
        (Outcome(grpc.StatusCode.OK, answers=[_NAN]), "GenerateLayoutsResponse.layouts.kl is not a number"),
        (Outcome(grpc.StatusCode.INVALID_ARGUMENT), "names no field"),
        (Outcome(grpc.StatusCode.RESOURCE_EXHAUSTED), "when to come back"),
        (Outcome(grpc.StatusCode.NOT_FOUND), "no ErrorInfo"),
    ],
)
def test_broken_promises_are_faults(outcome: Outcome, expected: str) -> None:
    assert any(expected in fault for fault in faults(Case("", METHOD, b""), outcome))


def test_bytes_that_are_no_request_have_to_be_bad_input() -> None:
    assert (
        "no semantic_palette.v1.GenerateLayoutsRequest"
        in faults(Case("", METHOD, b"\xff"), Outcome(grpc.StatusCode.OK))[0]
    )
