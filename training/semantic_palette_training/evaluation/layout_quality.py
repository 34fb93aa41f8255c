"""How well generated layouts follow their palettes, and how much they resemble the real ones in class shares.

Legend: N layouts, B batch, K classes, Z latent size, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from semantic_palette.errors import InvalidInputError
from semantic_palette.noise import standard_normal
from semantic_palette.palette import histogram, kl_divergence
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.evaluation.frechet import frechet_segmentation_distance

GenerateLayouts = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.uint8]]
"""(z [B, Z], palettes [B, K]) -> labels uint8 [B, H, W]: an eager model or a session of any engine."""


@dataclass(frozen=True, slots=True)
class AdherenceReport:
    """How closely layouts meet the palettes they were asked for."""

    count: int
    """Number of layouts."""
    kl_mean: float
    """Mean KL divergence (nats) of the achieved from the requested palette, as the paper's tables have it."""
    kl_median: float
    kl_worst: float
    worst_pixels: float
    """The largest |n_c - N t_c| of any class in any layout: pixels too many or too few."""
    exact_share: float
    """Share of the layouts whose every class is within one pixel of its target: met up to rounding."""


@dataclass(frozen=True, slots=True)
class LayoutQuality(AdherenceReport):
    """What `evaluate_layouts` measured: adherence, and class shares as a whole against real layouts."""

    fsd: float
    """Fréchet segmentation distance of the generated layouts to the reference, percent scale."""
    fsd_palettes: float
    """The same for the requested palettes themselves: what a generator that met every palette would get."""


def measure_adherence(
    layouts: Iterable[NDArray[np.uint8]], palettes_NK: NDArray[np.float64]
) -> tuple[AdherenceReport, NDArray[np.float64]]:
    """Compare layouts with the palettes they were asked for.

    Args:
        layouts: Batches of label maps uint8 [B, H, W], in the order of the palettes; batches may differ in size.
        palettes_NK: The requested palettes.

    Returns:
        The measures, and the achieved palettes float64 [N, K].

    Raises:
        InvalidInputError: The number of layouts is not that of the palettes.
    """
    achieved: list[NDArray[np.float64]] = []
    pixels: list[NDArray[np.float64]] = []
    done = 0
    for labels_BHW in layouts:
        achieved.append(histogram(labels_BHW, palettes_NK.shape[1]))
        targets = palettes_NK[done : done + len(labels_BHW)]
        done += len(labels_BHW)
        if len(targets) < len(labels_BHW):
            break
        size = labels_BHW.shape[-2] * labels_BHW.shape[-1]
        pixels.append(size * np.abs(achieved[-1] - targets).max(axis=-1))
    if done != len(palettes_NK) or not done:
        raise InvalidInputError("layouts", done, f"there must be one for each of the {len(palettes_NK)} palettes")
    achieved_NK, pixels_N = np.concatenate(achieved), np.concatenate(pixels)
    kl_N = kl_divergence(palettes_NK, achieved_NK)
    adherence = AdherenceReport(
        count=done,
        kl_mean=float(kl_N.mean()),
        kl_median=float(np.median(kl_N)),
        kl_worst=float(kl_N.max()),
        worst_pixels=float(pixels_N.max()),
        exact_share=float((pixels_N < 1.0).mean()),
    )
    return adherence, achieved_NK


def evaluate_layouts(
    generate: GenerateLayouts,
    palette_model: PaletteModel,
    reference_palettes_NK: NDArray[np.float64],
    *,
    latent_size: int,
    count: int = 2000,
    seed: int = 0,
    batch_size: int = 32,
) -> LayoutQuality:
    """Generate `count` layouts for palettes of the palette model and measure them (paper, tables 1 and 4).

    Palettes and latents are those that serving would use for the sample indices 0 to `count` - 1 of `seed`, so that
    the numbers do not depend on the batch size, and two engines are compared on the same requests.

    Args:
        generate: The generator; it gets batches of at most `batch_size`.
        palette_model: Where the requested palettes come from.
        reference_palettes_NK: Class shares of the real training layouts, for FSD.
        latent_size: Z.

    Raises:
        InvalidInputError: `count` below 2 or `batch_size` below 1, or whatever the reference is checked for.
    """
    for field, value, lowest in (("count", count, 2), ("batch_size", batch_size, 1)):
        if value < lowest:
            raise InvalidInputError(field, value, f"it must be at least {lowest}")
    palettes_NK = palette_model.sample(seed, 0, count).palettes

    def layouts() -> Iterator[NDArray[np.uint8]]:
        for first in range(0, count, batch_size):
            palettes_BK = palettes_NK[first : first + batch_size].astype(np.float32)
            indices = range(first, first + len(palettes_BK))
            z_BZ = np.stack([standard_normal(seed, index, "layout", (latent_size,)) for index in indices])
            yield generate(z_BZ, palettes_BK)

    adherence, achieved_NK = measure_adherence(layouts(), palettes_NK)
    return LayoutQuality(
        **asdict(adherence),
        fsd=frechet_segmentation_distance(reference_palettes_NK, achieved_NK),
        fsd_palettes=frechet_segmentation_distance(reference_palettes_NK, palettes_NK),
    )
