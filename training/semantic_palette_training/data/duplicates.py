"""Scenes that are in two splits: exactly, by content, and nearly, by a small perceptual hash.

A scene that is both trained on and held out makes every measurement on held-out scenes too good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Side of the grid on which the perceptual hash compares neighbouring cells: SIDE^2 bits.
_SIDE = 16
#: Bits of 256 that may differ. Measured on CamVid and Streets: pictures saved anew as JPEG, or at half size, differ in
#: 3 to 36; neighbouring frames in 31 and more; different scenes in 78 and more.
NEAR_BITS = 32
#: Range of grey levels below which a picture has no look of its own: any two plain walls would be near.
_PLAIN = 16
_CHUNK = 256


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """What tells whether two scenes are the same."""

    name: str
    image: bytes
    """Digest of the decoded pixels and their size."""
    labels: bytes
    """The same of the class ids."""
    look: NDArray[np.uint64] | None
    """Perceptual hash, uint64 [4]; None for pictures of one colour."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two scenes of two splits that are the same."""

    kind: Literal["image", "labels", "look"]
    """What they share: every pixel of the image, every class id, or the perceptual hash but for some bits."""
    first: str
    """Split and name."""
    second: str
    bits: int = 0
    """Bits of 256 in which the perceptual hashes differ (`look` only)."""


def fingerprint(name: str, image: Image.Image, labels: NDArray[np.uint8]) -> Fingerprint:
    """The fingerprint of a scene: an RGB image and its class ids uint8 [H, W]."""
    return Fingerprint(name, _digest(np.asarray(image)), _digest(labels), _look(image))


def duplicates(splits: Mapping[str, Sequence[Fingerprint]]) -> list[Duplicate]:
    """Scenes of a split that are in an earlier one: by image, else by labels, and by look (the nearest scene each)."""
    found: list[Duplicate] = []
    for (first, ours), (second, theirs) in combinations(splits.items(), 2):
        for kind, i, j, bits in (*_equal(ours, theirs), *_near(ours, theirs)):
            found.append(Duplicate(kind, f"{first}/{ours[i].name}", f"{second}/{theirs[j].name}", bits))
    return found


_Found = tuple[Literal["image", "labels", "look"], int, int, int]


def _digest(array: NDArray[np.uint8]) -> bytes:
    digest = hashlib.sha256(repr(array.shape).encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


def _look(image: Image.Image) -> NDArray[np.uint64] | None:
    """Whether each cell of a small grey picture is darker than its right neighbour (a difference hash)."""
    grey = np.asarray(image.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX)).astype(np.int16)
    if int(grey.max()) - int(grey.min()) < _PLAIN:
        return None
    return np.packbits(grey[:, :-1] < grey[:, 1:]).view(np.uint64)


def _equal(ours: Sequence[Fingerprint], theirs: Sequence[Fingerprint]) -> Iterator[_Found]:
    images = {scene.image: index for index, scene in reversed(list(enumerate(ours)))}
    labels = {scene.labels: index for index, scene in reversed(list(enumerate(ours)))}
    for index, scene in enumerate(theirs):
        if scene.image in images:
            yield "image", images[scene.image], index, 0
        elif scene.labels in labels:
            yield "labels", labels[scene.labels], index, 0


def _near(ours: Sequence[Fingerprint], theirs: Sequence[Fingerprint]) -> Iterator[_Found]:
    """Every scene of theirs with the one of ours that looks most like it, where they look alike but differ."""
    with_look = [index for index, scene in enumerate(ours) if scene.look is not None]
    others = [index for index, scene in enumerate(theirs) if scene.look is not None]
    if not with_look or not others:
        return
    looks_N4 = np.array([ours[index].look for index in with_look])
    for start in range(0, len(others), _CHUNK):
        chunk = others[start : start + _CHUNK]
        looks_B4 = np.array([theirs[index].look for index in chunk])
        bits_BN = np.bitwise_count(looks_B4[:, None] ^ looks_N4[None]).sum(axis=-1)
        for j, bits_N in zip(chunk, bits_BN, strict=True):
            i = with_look[int(bits_N.argmin())]
            if bits_N.min() <= NEAR_BITS and ours[i].image != theirs[j].image:
                yield "look", i, j, int(bits_N.min())
