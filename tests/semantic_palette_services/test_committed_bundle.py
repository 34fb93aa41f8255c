"""The bundle that comes with the repository and that deployments are pinned to loads, is what it was, and serves."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc_helpers import Stubs, serving_in_thread
from numpy.typing import NDArray
from PIL import Image

from semantic_palette.bundle_reference import BundleReference
from semantic_palette.layout import decode_png
from semantic_palette.palette import histogram
from semantic_palette.parity import MIN_EQUAL_PIXELS, MIN_PSNR_DB
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette_services.runtime.engines.onnxruntime import OnnxRuntimeEngine
from semantic_palette_services.runtime.golden import Golden
from semantic_palette_services.runtime.store import BundleFiles, ModelStore

ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "deploy" / "kubernetes" / "base" / "settings.env"


@pytest.fixture(scope="module")
def files() -> BundleFiles:
    """The pinned bundle, verified file by file."""
    lines = dict(line.split("=", 1) for line in SETTINGS.read_text().splitlines() if line)
    wanted = BundleReference.parse(lines["SEMANTIC_PALETTE_BUNDLE"])
    assert wanted.digest is not None
    return ModelStore(ROOT / "model_store").open(wanted.name, wanted.version, digest=wanted.digest)


@pytest.fixture(scope="module")
def stubs(files: BundleFiles) -> Iterator[Stubs]:
    """A server of it with ONNX Runtime, which serves only what passes parity."""
    reference = f"{files.manifest.name}/{files.manifest.version}@{files.digest}"
    with serving_in_thread(ROOT / "model_store", bundle=reference) as (_, stubs):
        yield stubs


def run(files: BundleFiles, operation: str, rows: int) -> tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[Any]]:
    """Golden inputs of a model, what it answered when it was exported, and what it answers now."""
    entry = files.manifest.models[operation]
    golden = Golden.load(files.path / files.manifest.golden.file, files.manifest, [operation])[operation]
    inputs = {name: array[:rows] for name, array in golden.inputs.items()}
    engine = OnnxRuntimeEngine(files.path / entry.file, entry, threads=1)
    answer = next(iter(engine.run(inputs).values()))
    engine.close()
    return inputs, next(iter(golden.outputs.values()))[:rows], answer


@pytest.mark.parametrize("operation", ["layout", "layout_scores"])
def test_layouts_are_the_golden_ones(files: BundleFiles, operation: str) -> None:
    _, expected, answer = run(files, operation, 4)
    labels = answer if operation == "layout" else answer.argmax(axis=1)
    assert np.mean(labels == expected) >= MIN_EQUAL_PIXELS


def test_images_are_the_golden_ones(files: BundleFiles) -> None:
    _, expected, answer = run(files, "image", 4)
    for wanted, image in zip(expected.astype(float), answer, strict=True):
        error = np.square(image - wanted).mean()
        assert 10 * np.log10(255**2 / max(error, 1e-9)) >= MIN_PSNR_DB


def test_pairs_are_scenes_with_proof_and_the_same_whenever_they_are_asked_for(stubs: Stubs, files: BundleFiles) -> None:
    palette = common.Palette(shares={"road": 0.5, "sky": 0.3, "building": 0.2})

    def pairs(first: int, count: int) -> list[factory.Pair]:
        request = factory.GeneratePairsRequest(
            count=count, first_index=first, seed=3, palettes={"palettes": [palette]}, deterministic=True
        )
        return [answer.pair for answer in stubs.factory.GeneratePairs(request)]

    whole = pairs(0, 3)
    assert [pair.SerializeToString(deterministic=True) for pair in pairs(1, 2)] == [
        pair.SerializeToString(deterministic=True) for pair in whole[1:]
    ]
    space, size = files.manifest.label_space, (files.manifest.height, files.manifest.width)
    for pair in whole:
        labels = decode_png(pair.layout.data, space.num_classes, *size)
        achieved = dict(zip(space.names, histogram(labels, space.num_classes).tolist(), strict=True))
        assert dict(pair.achieved.shares) == achieved
        assert pair.kl < 0.2  # of a palette of three classes, unlike any street; of sampled ones it is far less
        with Image.open(io.BytesIO(pair.image.data)) as image:
            assert (image.height, image.width, image.mode) == (*size, "RGB")
        assert pair.provenance.bundle.digest == files.digest
