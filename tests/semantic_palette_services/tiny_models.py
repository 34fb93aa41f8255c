"""The models of the tiny bundle, in numpy.

Legend: B batch, K classes, E = K + 1 (background last), H, W height and width, N = H * W, Z and Zi latent sizes,
S style size, M scenes of the style bank.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semantic_palette.label_space import LabelClass, LabelSpace

Array: TypeAlias = NDArray[Any]

NAMES = ("sky", "building", "road", "tree", "car", "pedestrian", "pole", "sign", "fence", "bicyclist", "grass", "void")
FORBIDDEN = np.float32(-1e9)
STYLE_SIZE = 3
BANK_SCENES = 5


@dataclass(frozen=True)
class Tiny:
    """Sizes and weights of a tiny bundle, and its models in numpy."""

    num_classes: int
    height: int
    width: int
    latent_size: int
    image_latent_size: int
    weights: Array  # float32 [Z, K*H*W]
    bias: Array  # float32 [K*H*W]
    colours: Array  # float32 [K, 3]
    tint: Array  # float32 [Zi, 3]
    seed: int
    bank_styles: Array  # float32 [M, K, S]
    bank_present: Array  # bool [M, K]

    @classmethod
    def create(cls, seed: int, num_classes: int, height: int, width: int) -> Tiny:
        rng, more = np.random.default_rng(seed), np.random.default_rng(seed + 3)
        latent_size, image_latent_size = 8, 4
        size = num_classes * height * width
        return cls(
            num_classes,
            height,
            width,
            latent_size,
            image_latent_size,
            weights=rng.normal(size=(latent_size, size)).astype(np.float32),
            bias=rng.normal(size=size).astype(np.float32),
            colours=rng.uniform(30, 225, size=(num_classes, 3)).round().astype(np.float32),
            tint=rng.normal(scale=8.0, size=(image_latent_size, 3)).astype(np.float32),
            seed=seed,
            bank_styles=more.uniform(size=(BANK_SCENES, num_classes, STYLE_SIZE)).astype(np.float32),
            bank_present=more.uniform(size=(BANK_SCENES, num_classes)) < 0.7,
        )

    @cached_property
    def editor_weights(self) -> Array:
        """float32 [Z, E*H*W]; large, so that bundles without an editor do without."""
        size = (self.num_classes + 1) * self.height * self.width
        return np.random.default_rng(self.seed + 4).normal(size=(self.latent_size, size)).astype(np.float32)

    @cached_property
    def editor_bias(self) -> Array:
        """float32 [E*H*W]."""
        size = (self.num_classes + 1) * self.height * self.width
        return np.random.default_rng(self.seed + 5).normal(size=size).astype(np.float32)

    def scores(self, z_BZ: Array, palette_BK: Array) -> Array:
        """log omega of SAA, float32 [B, K, H, W]: f + log t - logsumexp over the pixels of f."""
        return self._saa(z_BZ @ self.weights + self.bias, palette_BK)

    def _saa(self, flat: Array, palette_BK: Array) -> Array:
        f_BKN = flat.reshape(*palette_BK.shape, -1)
        peak = f_BKN.max(axis=2, keepdims=True)
        log_sum = np.log(np.exp(f_BKN - peak).sum(axis=2, keepdims=True)) + peak
        with np.errstate(divide="ignore"):
            log_t = np.log(palette_BK)[:, :, None]
        omega = np.where(palette_BK[:, :, None] > 0, f_BKN + log_t - log_sum, FORBIDDEN).astype(np.float32)
        scores: Array = omega.reshape(*palette_BK.shape, self.height, self.width)
        return scores

    def labels(self, z_BZ: Array, palette_BK: Array) -> Array:
        """Argmax of the scores, uint8 [B, H, W]."""
        labels: Array = self.scores(z_BZ, palette_BK).argmax(axis=1).astype(np.uint8)
        return labels

    def image(self, labels_BHW: Array, z_BZ: Array) -> Array:
        """Colours of the classes, tinted by z, uint8 [B, H, W, 3]."""
        tint = (z_BZ @ self.tint)[:, None, None, :]
        image: Array = np.clip(np.rint(self.colours[labels_BHW] + tint), 0, 255).astype(np.uint8)
        return image

    def edited(self, z_BZ: Array, labels_BHW: Array, mask_BHW: Array, palette_BE: Array, budget: str) -> Array:
        """The layout, painted over in the mask: everywhere (region), or where the background loses (additions)."""
        scores_BEHW = self._saa(z_BZ @ self.editor_weights + self.editor_bias, palette_BE)
        candidates = scores_BEHW if budget == "additions" else scores_BEHW[:, :-1]
        winner = candidates.argmax(axis=1)
        painted = (mask_BHW > 0) & (winner < self.num_classes)
        edited: Array = np.where(painted, winner, labels_BHW).astype(np.uint8)
        return edited

    def styles(self, image_BHW3: Array, labels_BHW: Array) -> Array:
        """Mean colour of every class in [0, 1], 0 where it is absent, float32 [B, K, S]."""
        shown_BKN = self._one_hot(labels_BHW)
        sums = shown_BKN @ image_BHW3.reshape(len(image_BHW3), -1, 3).astype(np.float32)
        styles: Array = sums / (np.maximum(shown_BKN.sum(axis=2), 1) * 255)[:, :, None]
        return styles.astype(np.float32)

    def styled_image(self, labels_BHW: Array, styles_BKS: Array) -> Array:
        """Every class in the colour that is its style, uint8 [B, H, W, 3]."""
        colours = self._one_hot(labels_BHW).transpose(0, 2, 1) @ styles_BKS
        image: Array = np.clip(np.rint(colours * np.float32(255)), 0, 255).astype(np.uint8)
        return image.reshape(*labels_BHW.shape, 3)

    def _one_hot(self, labels_BHW: Array) -> Array:
        ids = np.arange(self.num_classes, dtype=np.uint8)[None, :, None]
        shown: Array = (labels_BHW.reshape(len(labels_BHW), 1, -1) == ids).astype(np.float32)
        return shown

    def label_space(self) -> LabelSpace:
        colours = self.colours.astype(int).tolist()
        classes = [LabelClass(i, NAMES[i], tuple(colours[i])) for i in range(self.num_classes)]
        return LabelSpace("tiny", classes)
