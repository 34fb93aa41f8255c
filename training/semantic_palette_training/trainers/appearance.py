"""Appearance codes: what of a scene's look the layout does not explain, as a few standard-normal numbers.

Legend: N scenes, K classes, H and W pixels, A code size.

A layout does not say whether a scene was taken at noon or at dusk. A generator that must reproduce the colours of
real scenes from the layout alone learns their mean. Here the first components of its latent vector tell it, in
training, the light of the scene at hand; they are made standard normal over the data set, so that in service a
random latent vector draws a light at random.
"""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from semantic_palette.errors import InvalidInputError
from semantic_palette.palette import histogram
from semantic_palette_training.data.scenes import Scenes

MAX_CODE_SIZE = 6
"""Two halves of the image by three colours."""


def appearance_codes(scenes: Scenes, size: int) -> NDArray[np.float32]:
    """The codes of all scenes, float32 [N, size].

    Per scene: the mean colour of the upper and of the lower half, less the mean colours of the classes there; the
    leading principal components of these six numbers over the data set; each component replaced by the normal
    quantile of its rank.

    Raises:
        InvalidInputError: `size` is not in 0..6.
    """
    if not 0 <= size <= MAX_CODE_SIZE:
        raise InvalidInputError("image.appearance_size", size, f"0 to {MAX_CODE_SIZE}")
    if size == 0:
        return np.zeros((len(scenes), 0), np.float32)
    residuals = _light_residuals(scenes)
    centred = residuals - residuals.mean(axis=0)
    components = np.linalg.svd(centred, full_matrices=False)[2]
    # A component's sign is arbitrary; fixing it keeps a code's meaning over linear-algebra libraries.
    components *= np.sign(components.sum(axis=1, keepdims=True) + 1e-12)
    return _normal_scores(centred @ components[:size].T)


def _light_residuals(scenes: Scenes) -> NDArray[np.float64]:
    """Mean colour of each half of each scene less what its classes would have on average, float64 [N, 6]."""
    num_classes = scenes.label_space.num_classes
    sums, counts = np.zeros((num_classes, 3)), np.zeros(num_classes)
    for labels, image in zip(scenes.labels, scenes.images, strict=True):
        flat = labels.ravel()
        counts += np.bincount(flat, minlength=num_classes)
        for channel in range(3):
            sums[:, channel] += np.bincount(flat, weights=image[..., channel].ravel(), minlength=num_classes)
    class_colours = sums / np.maximum(counts, 1)[:, None]
    middle = scenes.labels.shape[1] // 2
    halves = []
    for rows in (slice(0, middle), slice(middle, None)):
        shares = histogram(scenes.labels[:, rows], num_classes)
        halves.append(scenes.images[:, rows].mean(axis=(1, 2)) - shares @ class_colours)
    return np.concatenate(halves, axis=1)


def _normal_scores(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Each column replaced by the standard-normal quantiles of its ranks."""
    count = len(values)
    quantiles = np.array([NormalDist().inv_cdf((rank + 0.5) / count) for rank in range(count)])
    ranks = values.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    return quantiles[ranks].astype(np.float32)
