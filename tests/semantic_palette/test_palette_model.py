"""Sampling palettes: reproducible whatever the chunking, and exact under constraints."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_palette import palette_model
from semantic_palette.constraints import Bounds, Constraints
from semantic_palette.errors import BundleError, InfeasibleConstraintsError, InvalidInputError
from semantic_palette.label_space import STREETS, LabelClass, LabelSpace
from semantic_palette.palette_model import PaletteModel

K = 5
SPACE = LabelSpace("five", [LabelClass(i, name, (i, i, i)) for i, name in enumerate("abcde")])
TO_PLANE = np.eye(K) - 1.0 / K
GOLDEN = [0.25, 0.1010965172017029, 0.22295949275818788, 0.22628337370200907, 0.19966061633810012]


def make_model(seed: int = 0, components: int = 3, spread: float = 0.05) -> PaletteModel:
    """A mixture in the plane of K classes, whose covariances are singular as those of real palettes are."""
    rng = np.random.default_rng(seed)
    factors = spread * rng.normal(size=(components, K, K)) @ TO_PLANE
    return PaletteModel(
        weights=rng.dirichlet(np.ones(components)),
        means=rng.dirichlet(np.full(K, 5.0), size=components),
        covariances=np.swapaxes(factors, 1, 2) @ factors,
    )


def bounds(**kinds: dict[str, float]) -> Bounds:
    return Constraints(**kinds).bounds(SPACE)


BOUNDS = {
    "none": None,
    "fixed": bounds(fixed={"a": 0.3, "c": 0.0}),
    "minimum": bounds(minimum={"b": 0.3}),
    "all kinds": bounds(fixed={"a": 0.2}, minimum={"b": 0.2, "c": 0.1}, maximum={"d": 0.2}),
    "hopeless": bounds(minimum={"a": 0.5, "b": 0.45}),
    "all fixed": bounds(fixed=dict.fromkeys("abcde", 0.2)),
    "one free": bounds(fixed=dict.fromkeys("abcd", 0.2)),
}
given_bounds = pytest.mark.parametrize("name", list(BOUNDS))


@given_bounds
def test_draws_depend_on_seed_index_and_bounds_alone(name: str) -> None:
    model, held = make_model(), BOUNDS[name]
    together = model.sample(7, 100, 40, held)
    for first, count in [(100, 1), (101, 2), (103, 37), (139, 1)]:
        chunk = make_model().sample(7, first, count, held)
        np.testing.assert_array_equal(chunk.palettes, together.palettes[first - 100 : first - 100 + count])
        np.testing.assert_array_equal(chunk.projected, together.projected[first - 100 : first - 100 + count])


@given_bounds
def test_internal_chunks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = make_model().sample(1, 0, 50, BOUNDS[name])
    monkeypatch.setattr(palette_model, "_MAX_ROWS", 7)
    actual = make_model().sample(1, 0, 50, BOUNDS[name])
    np.testing.assert_array_equal(actual.palettes, expected.palettes)


@given_bounds
def test_draws_are_palettes_within_their_bounds(name: str) -> None:
    held = BOUNDS[name] or bounds()
    draws = make_model().sample(3, 0, 500, BOUNDS[name])
    np.testing.assert_allclose(draws.palettes.sum(axis=1), 1.0, atol=1e-12)
    assert (draws.palettes >= 0.0).all()
    assert (draws.palettes[:, held.fixed_mask] == held.lower[held.fixed_mask]).all()
    assert held.contain(draws.palettes, 1e-9).all()
    assert draws.projected.all() == (name == "hopeless")
    assert draws.projected.any() == (name == "hopeless")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_any_feasible_bounds_are_held(seed: int, data: st.DataObject) -> None:
    inside = np.random.default_rng(seed).dirichlet(np.ones(K))
    kinds = data.draw(st.lists(st.sampled_from(["free", "fixed", "minimum", "maximum"]), min_size=K, max_size=K))
    named: dict[str, dict[str, float]] = {"fixed": {}, "minimum": {}, "maximum": {}}
    for kind, name, share in zip(kinds, SPACE.names, inside.tolist(), strict=True):
        if kind != "free":
            named[kind][name] = share
    if "free" not in kinds and len(set(kinds)) > 1:
        return  # only the palette itself is feasible, up to rounding
    held = bounds(**named)
    draws = make_model(seed).sample(seed, 0, 8, held)
    assert held.contain(draws.palettes, 1e-9).all()
    np.testing.assert_allclose(draws.palettes.sum(axis=1), 1.0, atol=1e-9)


def test_unconstrained_draws_have_the_moments_of_the_mixture() -> None:
    # Small spread around the middle: no draw leaves the simplex, so that projection changes nothing.
    factor = 0.02 * np.random.default_rng(0).normal(size=(K, K)) @ TO_PLANE
    model = PaletteModel([1.0], np.full((1, K), 1 / K), (factor.T @ factor)[None])
    palettes = model.sample(0, 0, 40_000).palettes
    np.testing.assert_allclose(palettes.mean(axis=0), 1 / K, atol=1e-3)
    np.testing.assert_allclose(np.cov(palettes.T), factor.T @ factor, atol=4e-5)


def test_conditioning_has_the_analytic_moments() -> None:
    rng = np.random.default_rng(1)
    factor = 0.01 * rng.normal(size=(K, K)) @ TO_PLANE
    covariance, mean = factor.T @ factor, np.full(K, 1 / K)
    model = PaletteModel([1.0], mean[None], covariance[None])
    palettes = model.sample(0, 0, 40_000, bounds(fixed={"a": 0.21, "b": 0.19})).palettes
    a, b = slice(0, 2), slice(2, 5)
    gain = covariance[b, a] @ np.linalg.inv(covariance[a, a])
    np.testing.assert_allclose(palettes[:, b].mean(axis=0), mean[b] + gain @ [0.01, -0.01], atol=2e-4)
    expected = covariance[b, b] - gain @ covariance[a, b]
    np.testing.assert_allclose(np.cov(palettes[:, b].T), expected, atol=0.05 * np.abs(expected).max())


def test_conditioning_reweights_the_components() -> None:
    means = np.array([[0.1, 0.5, 0.2, 0.1, 0.1], [0.3, 0.1, 0.2, 0.2, 0.2]])
    covariance = 0.03**2 * TO_PLANE
    model = PaletteModel([0.9, 0.1], means, np.stack([covariance] * 2))
    share = 0.21
    palettes = model.sample(0, 0, 20_000, bounds(fixed={"a": share})).palettes
    density = np.exp(-0.5 * (share - means[:, 0]) ** 2 / covariance[0, 0]) * [0.9, 0.1]
    observed = (palettes[:, 1] < 0.3).mean()
    assert observed == pytest.approx(density[1] / density.sum(), abs=0.015)


@pytest.mark.parametrize("kinds", [{"minimum": {"b": 0.3}}, {"minimum": {"a": 0.2, "b": 0.25}, "maximum": {"c": 0.3}}])
def test_bounds_sample_the_mixture_given_the_bounds(kinds: dict[str, dict[str, float]]) -> None:
    # The reference is plain rejection of unconstrained draws, which needs no theory.
    model, held = make_model(2), bounds(**kinds)
    everything = model.sample(1, 0, 200_000).palettes
    reference = everything[held.contain(everything, 1e-9)]
    draws = model.sample(2, 0, len(reference), held)
    assert len(reference) > 2000
    assert not draws.projected.any()
    error = 5.0 * reference.std(axis=0) * np.sqrt(2.0 / len(reference)) + 1e-12
    assert (np.abs(draws.palettes.mean(axis=0) - reference.mean(axis=0)) < error).all()
    for mine, theirs in zip(np.sort(draws.palettes.T), np.sort(reference.T), strict=True):
        grid = np.linspace(0.0, 1.0, 200)
        difference = np.searchsorted(mine, grid) - np.searchsorted(theirs, grid)
        assert np.abs(difference).max() / len(theirs) < 2.7 * np.sqrt(2.0 / len(theirs))


def test_a_rare_minimum_is_met_without_projection() -> None:
    model = PaletteModel([1.0], [[0.6, 0.1, 0.1, 0.1, 0.1]], (0.02**2 * TO_PLANE)[None])
    draws = model.sample(0, 0, 100, bounds(minimum={"e": 0.22}))
    assert not draws.projected.any()
    assert draws.palettes[:, 4].min() >= 0.22 - 1e-9


def test_a_class_that_never_varies_can_be_fixed_or_asked_for() -> None:
    covariance = np.zeros((K, K))
    covariance[:2, :2] = 0.01**2 * np.array([[1.0, -1.0], [-1.0, 1.0]])
    model = PaletteModel([1.0], [[0.5, 0.5, 0.0, 0.0, 0.0]], covariance[None])
    fixed = model.sample(0, 0, 20, bounds(fixed={"c": 0.4, "d": 0.0}))
    np.testing.assert_array_equal(fixed.palettes[:, 2], 0.4)
    assert not fixed.projected.any()
    assert model.sample(0, 0, 20, bounds(minimum={"c": 0.4})).projected.all()


def test_bounds_that_no_palette_meets_are_an_error() -> None:
    model = make_model()
    half = np.full(K, 0.5)
    with pytest.raises(InfeasibleConstraintsError, match=r"sum to 2\.5"):
        model.sample(0, 0, 1, Bounds(half, np.ones(K), np.zeros(K, np.bool_)))


def test_golden_draws() -> None:
    draws = make_model(0, 2).sample(5, 9, 1, bounds(fixed={"a": 0.25}, minimum={"b": 0.1}))
    np.testing.assert_allclose(draws.palettes[0], GOLDEN, atol=1e-12)


@pytest.mark.parametrize(
    ("seed", "first_index", "count", "field"),
    [
        (-1, 0, 1, "seed"),
        (2**64, 0, 1, "seed"),
        (0, -1, 1, "first_index"),
        (0, 2**64 - 1, 2, "first_index"),
        (0, 0, -1, "count"),
    ],
)
def test_arguments_out_of_range_are_errors(seed: int, first_index: int, count: int, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        make_model().sample(seed, first_index, count)
    assert caught.value.field == field


def test_the_last_index_and_no_draws_are_allowed() -> None:
    assert make_model().sample(0, 2**64 - 1, 1).palettes.shape == (1, K)
    assert make_model().sample(0, 0, 0).palettes.shape == (0, K)


def test_bounds_of_another_label_space_are_an_error() -> None:
    with pytest.raises(InvalidInputError, match=r"bounds\.lower"):
        make_model().sample(0, 0, 1, Constraints().bounds(STREETS))


def test_save_and_load_round_trip(tmp_path: Path) -> None:
    model = make_model()
    model.save(tmp_path / "palette.npz")
    loaded = PaletteModel.load(tmp_path / "palette.npz")
    np.testing.assert_array_equal(loaded.sample(0, 0, 9).palettes, model.sample(0, 0, 9).palettes)


def test_files_that_are_not_palette_models_are_bundle_errors(tmp_path: Path) -> None:
    path = tmp_path / "palette.npz"
    with pytest.raises(BundleError, match=r"palette\.npz"):
        PaletteModel.load(path)
    np.save(path.with_suffix(".npy"), [1.0])
    whole = tmp_path / "whole.npz"
    make_model().save(whole)
    damaged = bytearray(whole.read_bytes())
    damaged[200:260] = bytes(60)
    for content in (bytes(damaged), path.with_suffix(".npy").read_bytes(), b"", b"PK\x03\x04 not a zip", b"\x80\x04N."):
        path.write_bytes(content)
        with pytest.raises(BundleError, match=r"palette\.npz"):
            PaletteModel.load(path)
    np.savez(path, weights=[1.0], means=[[1.0]])
    with pytest.raises(BundleError, match="covariances"):
        PaletteModel.load(path)
    np.savez(path, weights=np.array([None]), means=[[1.0]], covariances=[[[0.0]]])
    with pytest.raises(BundleError):
        PaletteModel.load(path)


EYE = np.eye(2)[None]


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "field"),
    [
        ([], np.zeros((0, 2)), np.zeros((0, 2, 2)), "weights"),
        ([0.5], [[0.5, 0.5]], EYE, "weights"),
        ([float("nan")], [[0.5, 0.5]], EYE, "weights"),
        ([-1.0, 2.0], [[0.5, 0.5]] * 2, np.concatenate([EYE, EYE]), "weights"),
        ([1.0], [0.5, 0.5], EYE, "means"),
        ([1.0], [[0.5, 0.6]], EYE, "means"),
        ([1.0], [[0.5, float("nan")]], EYE, "means"),
        ([1.0], [[0.5, 0.5]], EYE[0], "covariances"),
        ([1.0], [[0.5, 0.5]], EYE * float("nan"), "covariances"),
        ([1.0], [[0.5, 0.5]], [[[1.0, 0.5], [0.0, 1.0]]], "covariances"),
        ([1.0], [[0.5, 0.5]], -EYE, "covariances"),
    ],
)
def test_arrays_that_are_not_a_mixture_are_errors(
    weights: object, means: object, covariances: object, field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        PaletteModel(weights, means, covariances)  # type: ignore[arg-type]
    assert caught.value.field == field
