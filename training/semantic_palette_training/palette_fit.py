"""Fitting the palette model: a Gaussian mixture over class shares (paper, section 4.1), its size chosen by a criterion.

Legend: N palettes, K classes, M components.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from semantic_palette.errors import InvalidInputError
from semantic_palette.palette_model import PaletteModel

Criterion = Literal["aic", "bic", "heldout"]

# Neighbouring video frames are near-copies, so a random split would test on what was fitted. Whole runs of frames are
# held out instead, spread over the data set so that every sequence is tested.
_HELDOUT_RUNS = 4
_HELDOUT_SHARE = 5


@dataclass(kw_only=True, slots=True)
class PaletteFitConfig:
    """How the palette mixture is fitted and how its number of components is chosen."""

    criterion: Criterion = "bic"
    """`bic`; `aic` (the paper's, which over-fits small data sets); `heldout` (likelihood of a fifth of the palettes,
    held out in runs of neighbouring frames and never fitted)."""
    max_components: int = 20
    """Component counts from 1 to this are tried, as far as there are K palettes for each component."""
    reg_covar: float = 1e-6
    """Added to the diagonal of every covariance: shares sum to 1, so covariances are singular without it."""
    seed: int = 0
    """Seed of the k-means initialisation."""
    n_init: int = 1
    """Initialisations tried for each component count; the most likely one is scored."""


@dataclass(frozen=True, slots=True)
class PaletteFit:
    """The chosen palette model and the scores it was chosen by (component count -> score; lower is better)."""

    model: PaletteModel
    criterion: Criterion
    scores: dict[int, float]

    @property
    def components(self) -> int:
        """The chosen number of components."""
        return int(self.model.num_components)

    def save(self, folder: Path) -> None:
        """Write `palette.npz` (plain arrays) and `palette.json` (criterion, components, scores) into `folder`.

        The arrays appear last and whole: where `palette.npz` is, the fit is complete.
        """
        folder.mkdir(parents=True, exist_ok=True)
        report = {"criterion": self.criterion, "components": self.components, "scores": self.scores}
        (folder / "palette.json").write_text(json.dumps(report, indent=2) + "\n")
        partial = folder / f"palette.{os.getpid()}.partial"
        self.model.save(partial)
        os.replace(partial, folder / "palette.npz")


def fit_palette_model(palettes_NK: NDArray[np.float64], config: PaletteFitConfig) -> PaletteFit:
    """Fit mixtures of 1 to `max_components` full-covariance Gaussians and keep the one with the lowest score.

    The mixture that was scored is the one that is kept; nothing is fitted again. With `heldout`, a score is the mean
    negative log-likelihood (nats a palette) of palettes that the mixture has not seen, which `aic` and `bic` estimate
    from the fitted palettes. `palettes_NK` must be in the order of the video frames.

    Raises:
        InvalidInputError: palettes that are not finite [N, K] with N >= 2, or a config field that is not allowed.
    """
    _check(palettes_NK, config)
    fitted, tested = palettes_NK, palettes_NK
    if config.criterion == "heldout":
        held_out = _heldout_mask(len(palettes_NK))
        fitted, tested = palettes_NK[~held_out], palettes_NK[held_out]
    # A covariance of K shares needs about K palettes; with fewer a component collapses onto single frames.
    largest = max(1, min(config.max_components, len(fitted) // palettes_NK.shape[1]))
    mixtures = {count: _fit(fitted, count, config) for count in range(1, largest + 1)}
    scores = {count: _score(mixture, tested, config.criterion) for count, mixture in mixtures.items()}
    chosen = mixtures[min(scores, key=scores.__getitem__)]
    model = PaletteModel(chosen.weights_, chosen.means_, chosen.covariances_)
    return PaletteFit(model, config.criterion, scores)


def _fit(palettes_NK: NDArray[np.float64], components: int, config: PaletteFitConfig) -> GaussianMixture:
    mixture = GaussianMixture(
        components,
        covariance_type="full",
        reg_covar=config.reg_covar,
        n_init=config.n_init,
        max_iter=500,
        random_state=config.seed,
    )
    return mixture.fit(palettes_NK)


def _score(mixture: GaussianMixture, palettes_NK: NDArray[np.float64], criterion: Criterion) -> float:
    match criterion:
        case "aic":
            return float(mixture.aic(palettes_NK))
        case "bic":
            return float(mixture.bic(palettes_NK))
        case "heldout":
            return -float(mixture.score(palettes_NK))


def _heldout_mask(num_palettes: int) -> NDArray[np.bool_]:
    """bool [N]: the last fifth of each of four equal stretches (fewer stretches where there are few palettes)."""
    runs = max(1, min(_HELDOUT_RUNS, num_palettes // _HELDOUT_SHARE))
    mask = np.zeros(num_palettes, bool)
    for stretch in np.array_split(np.arange(num_palettes), runs):
        mask[stretch[-max(1, len(stretch) // _HELDOUT_SHARE) :]] = True
    return mask


def _check(palettes_NK: NDArray[np.float64], config: PaletteFitConfig) -> None:
    if palettes_NK.ndim != 2 or len(palettes_NK) < 2 or not np.isfinite(palettes_NK).all():
        raise InvalidInputError("palettes", palettes_NK.shape, "they must be finite shares [N, K], N >= 2")
    if config.criterion not in ("aic", "bic", "heldout"):
        raise InvalidInputError("palette.criterion", config.criterion, "it must be aic, bic or heldout")
    for field in ("max_components", "n_init"):
        if getattr(config, field) < 1:
            raise InvalidInputError(f"palette.{field}", getattr(config, field), "it must be at least 1")
    if not config.reg_covar > 0:
        raise InvalidInputError("palette.reg_covar", config.reg_covar, "it must be above 0")
