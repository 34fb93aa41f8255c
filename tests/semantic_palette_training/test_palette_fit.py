"""Fitting the palette model: the right size, the scored model kept, plain files."""

import json

import numpy as np
import pytest

from semantic_palette.errors import InvalidInputError
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.palette_fit import PaletteFitConfig, fit_palette_model

MODES = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.4, 0.4]])


def palettes_of_three_modes(count=240, spread=0.01, seed=0):
    """Palettes [N, 4] that visit three modes in turn, as the sequences of a video do."""
    noise = np.random.default_rng(seed).normal(0, spread, (count, 4))
    palettes = MODES[np.arange(count) // 20 % 3] + noise - noise.mean(axis=1, keepdims=True)
    return palettes / palettes.sum(axis=1, keepdims=True)


def log_likelihood(model, palettes):
    """Mean log-likelihood of a mixture in nats a palette, from the density of the normal distribution."""
    logs = []
    for weight, mean, covariance in zip(model.weights, model.means, model.covariances, strict=True):
        apart = palettes - mean
        squared = (apart @ np.linalg.inv(covariance) * apart).sum(axis=1)
        logs.append(np.log(weight) - 0.5 * (squared + np.linalg.slogdet(2 * np.pi * covariance)[1]))
    return np.logaddexp.reduce(logs, axis=0).mean()


@pytest.mark.parametrize("criterion", ["bic", "heldout"])
def test_three_modes_are_found(criterion):
    fit = fit_palette_model(palettes_of_three_modes(), PaletteFitConfig(criterion=criterion, max_components=6))
    assert fit.components == min(fit.scores, key=fit.scores.get)
    assert list(fit.scores) == [1, 2, 3, 4, 5, 6]
    assert fit.components >= 3
    distances = np.linalg.norm(fit.model.means[:, None] - MODES, axis=-1)
    assert distances.min(axis=0).max() < 0.02


@pytest.mark.parametrize(("criterion", "penalty"), [("aic", 2.0), ("bic", np.log(240))])
def test_the_kept_model_is_the_one_that_was_scored(criterion, penalty):
    """The score of the chosen size, computed anew from the kept arrays: p parameters cost `penalty` each."""
    palettes = palettes_of_three_modes()
    fit = fit_palette_model(palettes, PaletteFitConfig(criterion=criterion, max_components=4))
    parameters = fit.components * (1 + 4 + 4 * 5 / 2) - 1
    expected = penalty * parameters - 2 * len(palettes) * log_likelihood(fit.model, palettes)
    assert fit.scores[fit.components] == pytest.approx(expected, rel=1e-6)


def test_heldout_scores_whole_runs_of_frames_that_were_not_fitted():
    palettes = palettes_of_three_modes()
    fit = fit_palette_model(palettes, PaletteFitConfig(criterion="heldout", max_components=3))
    # The last fifth of each quarter: 12 of 60 frames.
    runs = np.concatenate([palettes[end - 12 : end] for end in (60, 120, 180, 240)])
    assert fit.scores[fit.components] == pytest.approx(-log_likelihood(fit.model, runs), rel=1e-6)


def test_the_same_seed_gives_the_same_model():
    first, second = (fit_palette_model(palettes_of_three_modes(), PaletteFitConfig(seed=5)) for _ in range(2))
    assert first.scores == second.scores
    np.testing.assert_array_equal(first.model.covariances, second.model.covariances)


def test_few_palettes_keep_the_mixture_small():
    fit = fit_palette_model(palettes_of_three_modes(9), PaletteFitConfig(max_components=20))
    assert list(fit.scores) == [1, 2]


def test_the_files_hold_the_model_and_why_it_was_chosen(tmp_path):
    fit = fit_palette_model(palettes_of_three_modes(60), PaletteFitConfig(max_components=3))
    fit.save(tmp_path / "palette")
    loaded = PaletteModel.load(tmp_path / "palette" / "palette.npz")
    np.testing.assert_array_equal(loaded.means, fit.model.means)
    report = json.loads((tmp_path / "palette" / "palette.json").read_text())
    assert report["criterion"] == "bic"
    assert report["components"] == fit.components
    assert report["scores"] == {str(count): score for count, score in fit.scores.items()}
    with np.load(tmp_path / "palette" / "palette.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["covariances", "means", "weights"]


@pytest.mark.parametrize(
    ("field", "value"), [("criterion", "waic"), ("max_components", 0), ("n_init", 0), ("reg_covar", 0.0)]
)
def test_config_out_of_range_is_refused(field, value):
    with pytest.raises(InvalidInputError, match=rf"palette\.{field}: {value!r}"):
        fit_palette_model(palettes_of_three_modes(), PaletteFitConfig(**{field: value}))


@pytest.mark.parametrize("palettes", [np.full((1, 4), 0.25), np.full(4, 0.25), np.full((5, 4), np.nan)])
def test_palettes_that_cannot_be_fitted_are_refused(palettes):
    with pytest.raises(InvalidInputError, match="palettes"):
        fit_palette_model(palettes, PaletteFitConfig())
