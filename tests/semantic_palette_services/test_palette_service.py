"""Label spaces and palettes over gRPC; no inference runtime is needed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from grpc_helpers import Stubs, serving_in_thread
from tiny_bundle import Tiny

from semantic_palette.palette_model import PaletteModel
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import palette_service_pb2 as pb
from semantic_palette_services.runtime.store import BundleFiles


@pytest.fixture(scope="module")
def stubs(tiny_root: Path) -> Iterator[Stubs]:
    with serving_in_thread(tiny_root, services=("palette",)) as (_, stubs):
        yield stubs


def shares(response: pb.SamplePalettesResponse) -> list[dict[str, float]]:
    return [dict(entry.palette.shares) for entry in response.palettes]


def test_the_label_space_of_the_bundle(stubs: Stubs, tiny: Tiny, tiny_files: BundleFiles) -> None:
    response = stubs.palette.GetLabelSpace(pb.GetLabelSpaceRequest())
    space = tiny.label_space()
    assert (response.bundle.name, response.bundle.version, response.bundle.digest) == ("tiny", "1", tiny_files.digest)
    assert (response.height, response.width) == (tiny.height, tiny.width)
    assert (list(response.operations), response.styled) == (["image", "layout", "layout_scores"], False)
    assert [(entry.id, entry.name) for entry in response.classes] == [(c.id, c.name) for c in space.classes]
    red, green, blue = space.classes[2].colour
    assert response.classes[2].colour == red * 65536 + green * 256 + blue


def test_palettes_are_those_of_the_palette_model(stubs: Stubs, tiny: Tiny, tiny_files: BundleFiles) -> None:
    response = stubs.palette.SamplePalettes(pb.SamplePalettesRequest(count=100, seed=7, first_index=50))
    model = PaletteModel.load(tiny_files.path / tiny_files.manifest.palette_model.file)
    expected = model.sample(7, 50, 100).palettes
    served = np.array([[entry[name] for name in tiny.label_space().names] for entry in shares(response)])
    np.testing.assert_array_equal(served, expected)
    assert [entry.index for entry in response.palettes] == list(range(50, 150))


def test_a_palette_depends_on_its_own_index_alone(stubs: Stubs) -> None:
    whole = stubs.palette.SamplePalettes(pb.SamplePalettesRequest(count=200, seed=1))
    part = stubs.palette.SamplePalettes(pb.SamplePalettesRequest(count=3, seed=1, first_index=130))
    assert shares(part) == shares(whole)[130:133]


def test_constraints_hold_for_every_palette(stubs: Stubs) -> None:
    constraints = common.Constraints(fixed={"sky": 0.2}, minimum={"car": 0.1}, maximum={"road": 0.3})
    response = stubs.palette.SamplePalettes(pb.SamplePalettesRequest(count=50, constraints=constraints))
    for entry in response.palettes:
        assert entry.palette.shares["sky"] == pytest.approx(0.2, abs=1e-9)
        assert entry.palette.shares["car"] >= 0.1 - 1e-9
        assert entry.palette.shares["road"] <= 0.3 + 1e-9
        assert sum(entry.palette.shares.values()) == pytest.approx(1.0)


def test_palettes_that_rejection_does_not_find_are_projected_and_say_so(stubs: Stubs) -> None:
    constraints = common.Constraints(minimum={"car": 0.99})
    response = stubs.palette.SamplePalettes(pb.SamplePalettesRequest(count=2, constraints=constraints))
    assert {entry.origin for entry in response.palettes} == {common.PALETTE_ORIGIN_PROJECTED}
    free = stubs.palette.SamplePalettes(pb.SamplePalettesRequest(count=2))
    assert {entry.origin for entry in free.palettes} == {common.PALETTE_ORIGIN_SAMPLED}


def test_palettes_are_served_without_any_inference_runtime(tiny_root: Path) -> None:
    program = f"""
        import asyncio, sys
        from pathlib import Path

        for runtime in ("onnxruntime", "openvino", "torch"):
            sys.modules[runtime] = None  # importing it raises ImportError

        from grpc import aio
        from semantic_palette.v1 import palette_service_pb2, palette_service_pb2_grpc
        from semantic_palette_services.server.lifecycle import run_server
        from semantic_palette_services.server.settings import ServerSettings

        async def main():
            settings = ServerSettings(
                services=("palette",), model_store=Path({str(tiny_root)!r}), host="127.0.0.1",
                port=0, health_port=0, metrics_port=0,
            )
            async with run_server(settings) as server, aio.insecure_channel(server.address) as channel:
                stub = palette_service_pb2_grpc.PaletteServiceStub(channel)
                request = palette_service_pb2.SamplePalettesRequest(count=3)
                print(len((await stub.SamplePalettes(request)).palettes))

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "3"
