"""Looks of training scenes, for the classes of an image that show nowhere how they should look.

Legend: M scenes, K classes, S style size.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semantic_palette.errors import BundleError
from semantic_palette.noise import uniforms


class StyleBank:
    """The styles of a bundle's training scenes.

    Args:
        styles_MKS: style of each class of each scene, float32 [M, K, S].
        present_MK: whether the scene shows the class, bool [M, K].
    """

    def __init__(self, styles_MKS: NDArray[np.float32], present_MK: NDArray[np.bool_]) -> None:
        self.styles_MKS = styles_MKS
        self.present_MK = present_MK

    @classmethod
    def load(cls, path: Path, num_classes: int, style_size: int) -> StyleBank:
        """Read ``styles.npz``; nothing in it is unpickled.

        Raises:
            BundleError: the file cannot be read, or its arrays are not those of this many classes and style numbers.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                styles, present = file["styles"], file["present"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise BundleError(f"{path}: cannot be read as a style bank: {error}") from error
        wanted = (len(styles), num_classes, style_size)
        if styles.shape != wanted or styles.dtype != np.float32 or not len(styles):
            raise BundleError(
                f"{path}: styles is {styles.dtype} {styles.shape}; float32 {('M', *wanted[1:])} is wanted"
            )
        if present.shape != wanted[:2] or present.dtype != np.bool_:
            raise BundleError(f"{path}: present is {present.dtype} {present.shape}; bool {wanted[:2]} is wanted")
        return cls(styles, present)

    def borrow(self, seed: int, index: int) -> NDArray[np.float32]:
        """A style for every class, float32 [K, S]: those of one scene, which depends on (seed, index) alone.

        A class that the scene does not show takes its style from the next scene that does, and one that no scene shows
        has none: zeros.
        """
        first = int(uniforms(seed, index, "style", 1)[0] * len(self.styles_MKS))
        order_M = np.roll(np.arange(len(self.styles_MKS)), -first)
        lender_K = order_M[self.present_MK[order_M].argmax(axis=0)]
        styles_KS = self.styles_MKS[lender_K, np.arange(len(lender_K))]
        shown_K1 = np.asarray(self.present_MK.any(axis=0))[:, None]
        return np.where(shown_K1, styles_KS, np.float32(0))
