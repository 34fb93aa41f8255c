"""The palette model: a Gaussian mixture over palettes as plain arrays, sampled exactly under constraints.

Legend: M components, K classes, N draws.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from semantic_palette._proposal import VARIANCE_FLOOR, Proposal
from semantic_palette.constraints import Bounds
from semantic_palette.errors import BundleError, InvalidInputError
from semantic_palette.noise import WORDS_PER_BLOCK, Uint64Array, philox_rows
from semantic_palette.palette import FloatArray, check_feasible

MAX_DRAWS = 10_000
"""Draws that joint rejection may take before a palette is projected within its bounds instead."""

_STAGE, _PILOT_STAGE = "palette", "palette-pilot"
_DRAWS_BEFORE_PILOT = 31
_MAX_ROWS = 1 << 14
"""Draws made at once: enough to hide the interpreter, few enough for the cache."""
_SUM_TOLERANCE = 1e-3
_RELATIVE_TOLERANCE = 1e-6
_ARRAYS = ("weights", "means", "covariances")

_Key = tuple[bytes, bytes, bytes]
_Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class PaletteDraws:
    """Palettes drawn from a palette model."""

    palettes: FloatArray
    """float64 [N, K]; every row is on the simplex."""
    projected: npt.NDArray[np.bool_]
    """bool [N]: rejection did not meet the bounds, so the palette was projected within them."""


class PaletteModel:
    """A Gaussian mixture over palettes.

    Args:
        weights: float64 [M], sum 1.
        means: float64 [M, K], each summing to 1.
        covariances: float64 [M, K, K], symmetric and positive semi-definite.

    Raises:
        InvalidInputError: When a shape or a value is not allowed.
    """

    def __init__(self, weights: npt.ArrayLike, means: npt.ArrayLike, covariances: npt.ArrayLike) -> None:
        self.weights = np.array(weights, dtype=np.float64)
        self.means = np.array(means, dtype=np.float64)
        self.covariances = np.array(covariances, dtype=np.float64)
        _check_mixture(self.weights, self.means, self.covariances)
        self.num_components, self.num_classes = self.means.shape
        # A stream of pairs asks for one palette at a time under the same bounds.
        self._proposal: Callable[[_Key], Proposal] = lru_cache(maxsize=64)(self._build_proposal)
        self._is_hopeless: Callable[[_Key], bool] = lru_cache(maxsize=64)(self._run_pilot)

    def save(self, path: Path) -> None:
        """Writes weights, means and covariances to an .npz file."""
        with Path(path).open("wb") as file:
            np.savez(file, weights=self.weights, means=self.means, covariances=self.covariances)

    @classmethod
    def load(cls, path: Path) -> "PaletteModel":
        """Reads what `save` wrote, without pickle.

        Raises:
            BundleError: When the file cannot be read or is not a palette model.
        """
        try:
            # Opened here, because np.load leaves a broken file open.
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return cls(*(arrays[name] for name in _ARRAYS))
        except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile, zlib.error) as error:
            raise BundleError(f"{path}: is not a palette model: {error}") from error

    def sample(self, seed: int, first_index: int, count: int, bounds: Bounds | None = None) -> PaletteDraws:
        """Draws palettes `first_index` to `first_index + count - 1` of a seed.

        Draw i depends on (seed, i, bounds) alone. A draw is a point of the mixture, projected on the simplex. Fixed
        classes are met by conditioning the mixture on their shares. Minima and maxima are met by rejection of component
        and point together, which samples the mixture given the bounds; where 10,000 draws do not meet them, the draw is
        projected within the bounds and flagged.

        Args:
            seed: From 0 to 2^64 - 1.
            first_index: From 0; the last index is at most 2^64 - 1.
            count: Number of palettes, N, from 0.
            bounds: Bounds on K classes. Default: none.

        Raises:
            InvalidInputError: When an argument is out of range.
            InfeasibleConstraintsError: When no palette meets the bounds.
        """
        if count < 0:
            raise InvalidInputError("count", count, "a number from 0 is allowed")
        if not 0 <= first_index <= 2**64 - max(count, 1):
            raise InvalidInputError("first_index", first_index, "indices from 0 to 2^64 - 1 are allowed")
        key = self._key(bounds)
        proposal = self._proposal(key)
        indices = np.uint64(first_index) + np.arange(count, dtype=np.uint64)
        palettes = np.empty((count, self.num_classes))
        pending = np.arange(count)
        start, window = 0, 1
        while pending.size and start < MAX_DRAWS and not (start >= _DRAWS_BEFORE_PILOT and self._is_hopeless(key)):
            window = min(window, MAX_DRAWS - start)
            accepted = np.zeros(pending.size, dtype=np.bool_)
            for part in _parts(pending.size, window):
                rows = pending[part]
                words = _words(seed, indices[rows], _STAGE, proposal.num_words, start, window)
                palettes[rows], accepted[part] = proposal.first_accepted(words)
            pending = pending[~accepted]
            start, window = start + window, window * 2
        for part in _parts(pending.size, 1):
            rows = pending[part]
            words = _words(seed, indices[rows], _STAGE, proposal.num_words, 0, 1)
            palettes[rows] = proposal.draw_within_bounds(words[:, 0])
        projected = np.zeros(count, dtype=np.bool_)
        projected[pending] = True
        return PaletteDraws(palettes, projected)

    def _key(self, bounds: Bounds | None) -> _Key:
        """Checks the shapes of bounds and returns them in a form that can be the key of a cache."""
        if bounds is None:
            bounds = Bounds(np.zeros(self.num_classes), np.ones(self.num_classes), np.zeros(self.num_classes, np.bool_))
        for name, array in (("lower", bounds.lower), ("upper", bounds.upper), ("fixed_mask", bounds.fixed_mask)):
            if array.shape != (self.num_classes,):
                raise InvalidInputError(f"bounds.{name}", array.shape, f"the shape ({self.num_classes},) is allowed")
        return (
            bounds.lower.astype(np.float64).tobytes(),
            bounds.upper.astype(np.float64).tobytes(),
            bounds.fixed_mask.astype(np.bool_).tobytes(),
        )

    def _build_proposal(self, key: _Key) -> Proposal:
        lower, upper, fixed_mask = np.frombuffer(key[0]), np.frombuffer(key[1]), np.frombuffer(key[2], dtype=np.bool_)
        check_feasible(lower, upper)
        return Proposal(self.weights, self.means, self.covariances, Bounds(lower, upper, fixed_mask))

    def _run_pilot(self, key: _Key) -> bool:
        """Says whether 10,000 draws that depend on the bounds alone all miss them.

        Without it, bounds that the mixture never meets would cost every palette its own 10,000 draws.
        """
        proposal = self._proposal(key)
        words = _words(0, np.zeros(1, dtype=np.uint64), _PILOT_STAGE, proposal.num_words, 0, MAX_DRAWS)
        return not proposal.first_accepted(words)[1].any()


def _parts(num_rows: int, window: int) -> list[slice]:
    """Splits rows so that each part, times the window, is a bounded number of draws."""
    step = max(1, _MAX_ROWS // window)
    return [slice(start, start + step) for start in range(0, num_rows, step)]


def _words(seed: int, indices: Uint64Array, stage: str, num_words: int, start: int, window: int) -> Uint64Array:
    """Returns the words of draws `start` to `start + window - 1` of every index: uint64 [N, window, num_words].

    Every draw begins a Philox block, so that where a window begins changes nothing.
    """
    num_blocks = -(-num_words // WORDS_PER_BLOCK)
    padded = num_blocks * WORDS_PER_BLOCK
    words = philox_rows(seed, indices, stage, start * num_blocks, window * padded)
    return words.reshape(len(indices), window, padded)[:, :, :num_words]


def _check_mixture(weights: FloatArray, means: FloatArray, covariances: FloatArray) -> None:
    if weights.ndim != 1 or not (weights >= 0.0).all() or not abs(weights.sum() - 1.0) <= _SUM_TOLERANCE:
        raise InvalidInputError("weights", weights, "at least one weight, none negative, that sum to 1")
    if means.ndim != 2 or len(means) != len(weights) or means.shape[1] == 0:
        raise InvalidInputError("means", means.shape, f"the shape ({len(weights)}, classes) is allowed")
    if not np.abs(means.sum(axis=1) - 1.0).max() <= _SUM_TOLERANCE:
        raise InvalidInputError("means", means, "finite numbers whose rows sum to 1 are allowed")
    expected = (*means.shape, means.shape[1])
    if covariances.shape != expected or not np.isfinite(covariances).all():
        raise InvalidInputError("covariances", covariances.shape, f"finite numbers of the shape {expected} are allowed")
    tolerance = _RELATIVE_TOLERANCE * max(float(np.abs(covariances).max()), VARIANCE_FLOOR)
    if np.abs(covariances - np.swapaxes(covariances, 1, 2)).max() > tolerance:
        raise InvalidInputError("covariances", "a matrix that is not symmetric", "symmetric matrices are allowed")
    smallest = float(np.linalg.eigvalsh(covariances).min())
    if smallest < -tolerance:
        raise InvalidInputError("covariances", f"an eigenvalue of {smallest:g}", "no negative eigenvalue is allowed")
