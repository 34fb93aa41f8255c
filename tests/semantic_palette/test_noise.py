"""Counter-based noise: golden bits, the normal transform, and independence of streams."""

import hashlib
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_palette.errors import InvalidInputError
from semantic_palette.noise import (
    _philox,
    normal_quantile,
    philox_bits,
    philox_rows,
    standard_normal,
    uniforms,
    uniforms_from_bits,
)

words = st.integers(0, 2**64 - 1)


def test_bits_have_not_changed() -> None:
    assert [f"{word:016x}" for word in philox_bits(0, 0, "layout", 5).tolist()] == GOLDEN_LAYOUT
    assert [f"{word:016x}" for word in philox_bits(2**64 - 1, 2**64 - 1, "image", 3).tolist()] == GOLDEN_IMAGE


def test_normals_have_not_changed_to_the_bit() -> None:
    values = standard_normal(42, 7, "image", (2, 3))
    assert values.dtype == np.float32
    assert [value.hex() for value in values.astype(float).ravel().tolist()] == GOLDEN_NORMAL


@settings(max_examples=50)
@given(seed=words, index=words, count=st.integers(0, 40))
def test_bits_are_those_of_numpy_s_philox(seed: int, index: int, count: int) -> None:
    # numpy counts up before its first block, so its stream begins one block later.
    bits = philox_bits(seed, index, "palette", count + 4)
    key, counter = np.array([seed, stage_key("palette")], np.uint64), np.array([0, index, 0, 0], np.uint64)
    reference = np.random.Philox(key=key, counter=counter).random_raw(count)
    np.testing.assert_array_equal(bits[4:], reference)


def stage_key(stage: str) -> int:
    return int.from_bytes(hashlib.sha256(stage.encode()).digest()[:8], "little")


@given(seed=words, start=st.integers(0, 9), count=st.integers(1, 20))
def test_any_stretch_of_any_stream_can_be_made_alone(seed: int, start: int, count: int) -> None:
    indices = np.array([3, 0, 2**63], dtype=np.uint64)
    stretch = philox_rows(seed, indices, "image", start, count)
    for row, index in zip(stretch, indices.tolist(), strict=True):
        np.testing.assert_array_equal(row, philox_bits(seed, index, "image", 4 * start + count)[4 * start :])


def test_streams_of_other_seeds_indices_and_stages_are_unrelated() -> None:
    streams = [(0, 0, "layout"), (1, 0, "layout"), (0, 1, "layout")]
    streams += [(0, 0, stage) for stage in ("image", "palette", "edit", "style")]
    values = np.stack([standard_normal(*stream, (20_000,)) for stream in streams])
    correlation = np.corrcoef(values) - np.eye(len(streams))
    assert np.abs(correlation).max() < 5.0 / np.sqrt(20_000)


def test_normals_have_the_moments_and_the_distribution_of_a_normal() -> None:
    values = np.sort(standard_normal(1, 2, "layout", (100_000,)).astype(np.float64))
    assert abs(values.mean()) < 5.0 / np.sqrt(values.size)
    assert values.var() == pytest.approx(1.0, abs=5.0 * np.sqrt(2.0 / values.size))
    assert (values**4).mean() == pytest.approx(3.0, abs=0.2)
    expected = np.array([NormalDist().cdf(value) for value in values[::10]])
    observed = (np.arange(values.size)[::10] + 0.5) / values.size
    # Kolmogorov-Smirnov at a level of about 1e-6.
    assert np.abs(expected - observed).max() < 2.7 / np.sqrt(values.size)


def test_uniforms_are_in_range_and_uniform() -> None:
    values = np.sort(uniforms(3, 4, "palette", 100_000))
    assert 0.0 <= values[0] <= values[-1] < 1.0
    assert np.abs(values - (np.arange(values.size) + 0.5) / values.size).max() < 2.7 / np.sqrt(values.size)
    extremes = uniforms_from_bits(np.array([0, 2**64 - 1], dtype=np.uint64))
    np.testing.assert_array_equal(extremes, [0.0, 1.0 - 2.0**-53])


@given(st.floats(1e-300, 1.0 - 2.0**-53))
def test_quantile_agrees_with_the_standard_library(probability: float) -> None:
    expected = NormalDist().inv_cdf(probability)
    assert float(normal_quantile(probability)) == pytest.approx(expected, rel=2e-15, abs=1e-16)


def test_quantile_is_odd_and_finite_at_the_ends() -> None:
    p = 2.0 ** -np.arange(1.0, 54.0)
    np.testing.assert_array_equal(normal_quantile(p[:52]), -normal_quantile(1.0 - p[:52]))
    assert np.isfinite(normal_quantile(p)).all()


def test_a_scalar_shape_and_an_empty_shape_are_allowed() -> None:
    assert standard_normal(0, 0, "image", ()).shape == ()
    assert standard_normal(0, 0, "image", (0, 3)).shape == (0, 3)


@pytest.mark.parametrize(("seed", "index", "field"), [(-1, 0, "seed"), (2**64, 0, "seed"), (0, 2**64, "index")])
def test_seeds_and_indices_out_of_range_are_errors(seed: int, index: int, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        philox_bits(seed, index, "layout", 1)
    assert caught.value.field == field


def test_the_philox_function_gives_the_published_answer() -> None:
    zero = np.zeros(1, dtype=np.uint64)
    answer = [int(word[0]) for word in _philox((zero, zero, zero, zero), (0, 0))]
    assert answer == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]


GOLDEN_LAYOUT = [
    "054eac09ab6a8fa2",
    "dffb95f73c58af75",
    "7c2a9e16d4c8dc78",
    "54a9ea68ef10f14b",
    "8f2a391d143d2fcc",
]
GOLDEN_IMAGE = [
    "4f344a8c26812a84",
    "659c07d55918fc66",
    "619c91c6f2d600a2",
]
GOLDEN_NORMAL = [
    "-0x1.7642960000000p+0",
    "0x1.4e9ab80000000p-2",
    "-0x1.808fcc0000000p+0",
    "0x1.fc758a0000000p+0",
    "0x1.cfa0480000000p+0",
    "0x1.3419b80000000p-2",
]
