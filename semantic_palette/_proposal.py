"""What a palette model draws from: its mixture conditioned on fixed classes and restricted to the rarest minimum.

Palettes lie in the plane {x : sum x = 1}, where the covariances of a fitted mixture are singular. Densities are
therefore taken in orthonormal (Helmert) coordinates of that plane.

Legend: M components, K classes, D dimensions left free by the fixed classes. Leading axes `...` are draws.
"""

from math import erfc, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from semantic_palette.constraints import Bounds
from semantic_palette.noise import Uint64Array, normal_quantile, normals_from_bits, uniforms_from_bits
from semantic_palette.palette import FloatArray, project_to_simplex

BOUND_TOLERANCE = 1e-9
"""How far outside its bounds an accepted palette may be."""
VARIANCE_FLOOR = 1e-10
"""Added to variances, so that classes that never vary can be conditioned on: 1e-5 of share, under a pixel."""

_SMALLEST_DEVIATION = 1e-30
_SMALLEST_PROBABILITY, _LARGEST_PROBABILITY = 1e-300, 1.0 - 2.0**-53


class _Mixture(NamedTuple):
    """Gaussians in the plane: component m is means[m] + sum_d factors[d, m] z_d, with z standard normal."""

    weights: FloatArray
    """[M], sum 1."""
    means: FloatArray
    """[M, K]."""
    factors: FloatArray
    """[D, M, K]."""


class _Tail(NamedTuple):
    """A half-space {x : x[class_id] >= its minimum}, seen from each component."""

    class_id: int
    probabilities: FloatArray
    """Probability of the half-space, [M]."""
    deviations: FloatArray
    """Standard deviation of the class's share, [M]."""
    directions: FloatArray
    """Change of x that goes with one standard deviation of that share, [M, K]."""


class Proposal:
    """Draws palettes that keep the fixed classes of some bounds; the other bounds are left to rejection.

    Args:
        weights: float64 [M], sum 1.
        means: float64 [M, K], each summing to 1.
        covariances: float64 [M, K, K].
        bounds: Bounds on K classes that some palette meets.
    """

    def __init__(self, weights: FloatArray, means: FloatArray, covariances: FloatArray, bounds: Bounds) -> None:
        self.bounds = bounds
        free = ~bounds.fixed_mask
        self._lower = np.where(free, 0.0, bounds.lower)
        self._upper = np.where(free, 1.0, bounds.upper)
        self._screen = np.where(free & (bounds.lower > 0.0), bounds.lower - BOUND_TOLERANCE, -np.inf)
        self._is_bounded = bool(((bounds.lower > 0.0) | (bounds.upper < 1.0))[free].any())
        mixture = _condition(weights, means, covariances, bounds)
        self._means, self._factors = mixture.means, mixture.factors
        self._tail = _rarest_minimum(mixture, bounds)
        chances = mixture.weights if self._tail is None else mixture.weights * self._tail.probabilities
        self._cumulative = np.cumsum(chances / max(chances.sum(), _SMALLEST_PROBABILITY))
        self._cumulative[-1] = 1.0

    @property
    def num_words(self) -> int:
        """Random words a draw takes: component, tail, and one a free dimension."""
        return 2 + len(self._factors)

    def first_accepted(self, words: Uint64Array) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Turns words [N, draws, num_words] into each row's first palette that meets the bounds.

        Projection on the simplex only lowers the positive coordinates of a point of the plane, so that a point below a
        minimum is rejected before it is projected.

        Returns:
            Palettes [N, K], meaningful where the second array, bool [N], says that a draw was accepted.
        """
        points = self._points(words)
        accepted = np.asarray((points >= self._screen).all(axis=-1))
        palettes = np.zeros_like(points)
        palettes[accepted] = project_to_simplex(points[accepted], self._lower, self._upper)
        accepted[accepted] = self._accepts(palettes[accepted])
        first = accepted.argmax(axis=1)
        return palettes[np.arange(len(first)), first], np.asarray(accepted.any(axis=1))

    def draw_within_bounds(self, words: Uint64Array) -> FloatArray:
        """Turns words [..., num_words] into palettes [..., K] projected within all the bounds."""
        return project_to_simplex(self._points(words), self.bounds.lower, self.bounds.upper)

    def _accepts(self, palettes: FloatArray) -> npt.NDArray[np.bool_]:
        if not self._is_bounded:
            return np.ones(palettes.shape[:-1], dtype=np.bool_)
        return self.bounds.contain(palettes, BOUND_TOLERANCE)

    def _points(self, words: Uint64Array) -> FloatArray:
        """Turns words into points of the plane.

        Sums are taken term by term: a matrix product may round differently for different numbers of rows.
        """
        component = np.searchsorted(self._cumulative, uniforms_from_bits(words[..., 0]), side="right")
        component = np.minimum(component, len(self._cumulative) - 1)
        points = self._means[component]
        normals = normals_from_bits(words[..., 2:])
        for i, factor in enumerate(self._factors):
            points += factor[component] * normals[..., i, None]
        return points if self._tail is None else self._restrict(points, component, self._tail, words[..., 1])

    def _restrict(
        self, points: FloatArray, component: npt.NDArray[np.intp], tail: _Tail, words: Uint64Array
    ) -> FloatArray:
        """Replaces the share of the tail's class by one drawn from its half-space; what depends on it moves along."""
        probability = (1.0 - uniforms_from_bits(words)) * tail.probabilities[component]
        wanted = -normal_quantile(np.clip(probability, _SMALLEST_PROBABILITY, _LARGEST_PROBABILITY))
        deviation = np.maximum(tail.deviations[component], _SMALLEST_DEVIATION)
        current = (points[..., tail.class_id] - self._means[component, tail.class_id]) / deviation
        return np.asarray(points + tail.directions[component] * (wanted - current)[..., None])


def _condition(weights: FloatArray, means: FloatArray, covariances: FloatArray, bounds: Bounds) -> _Mixture:
    """Conditions a mixture on its fixed classes.

    In coordinates y = (shares of the fixed classes, Helmert coordinates of the free ones), a linear one-to-one map of
    the plane, this is the textbook conditional of a partitioned Gaussian.
    """
    num_classes = means.shape[1]
    fixed, free = np.flatnonzero(bounds.fixed_mask), np.flatnonzero(~bounds.fixed_mask)
    shares = bounds.lower[fixed]
    points = np.zeros_like(means)
    points[:, fixed] = shares
    if len(free):
        points[:, free] = (1.0 - shares.sum()) / len(free)
    if len(free) <= 1:
        return _Mixture(weights, points, np.zeros((0, *means.shape)))
    basis = _helmert(len(free))
    to_y = np.zeros((num_classes - 1, num_classes))
    to_y[np.arange(len(fixed)), fixed] = 1.0
    to_y[len(fixed) :, free] = basis
    # Whatever a fit leaves outside the plane is projected away, as the projection on the simplex would do.
    to_plane = np.eye(num_classes) - 1.0 / num_classes
    mean = (means @ to_plane + 1.0 / num_classes) @ to_y.T
    covariance = (to_y @ to_plane) @ covariances @ (to_y @ to_plane).T + VARIANCE_FLOOR * np.eye(num_classes - 1)
    a, b = slice(None, len(fixed)), slice(len(fixed), None)
    difference = shares - mean[:, a]
    gain = np.linalg.solve(covariance[:, a, a], covariance[:, a, b])
    conditional = covariance[:, b, b] - covariance[:, b, a] @ gain + VARIANCE_FLOOR * np.eye(len(free) - 1)
    points[:, free] += (mean[:, b] + np.einsum("ma,mab->mb", difference, gain)) @ basis
    factors = np.zeros((len(free) - 1, *means.shape))
    factors[:, :, free] = np.moveaxis(basis.T @ np.linalg.cholesky(conditional), -1, 0)
    return _Mixture(_posterior(weights, difference, covariance[:, a, a]), points, factors)


def _helmert(size: int) -> FloatArray:
    """Returns an orthonormal basis of {x : sum x = 0}, [size - 1, size]."""
    basis = np.zeros((size - 1, size))
    for i in range(1, size):
        basis[i - 1, :i] = 1.0 / sqrt(i * (i + 1))
        basis[i - 1, i] = -i / sqrt(i * (i + 1))
    return basis


def _posterior(weights: FloatArray, difference: FloatArray, covariance: FloatArray) -> FloatArray:
    """Weights of the components given the fixed shares: w_m N(difference_m; 0, covariance_m), normalised."""
    scaled = np.linalg.solve(covariance, difference[..., None])[..., 0]
    log_density = -0.5 * ((difference * scaled).sum(axis=1) + np.linalg.slogdet(covariance)[1])
    log_density = np.where(weights > 0.0, log_density, -np.inf)
    posterior = weights * np.exp(log_density - log_density.max())
    return np.asarray(posterior / posterior.sum())


def _rarest_minimum(mixture: _Mixture, bounds: Bounds) -> _Tail | None:
    """Returns the half-space of the minimum that the mixture meets least often, or None where no free class has one.

    A draw can meet a minimum only if its raw coordinate does (see `Proposal.first_accepted`). Drawing from the
    half-space therefore leaves the accepted distribution as it is, but makes a rare class cheap to ask for.
    """
    tails = []
    for class_id in np.flatnonzero((bounds.lower > 0.0) & ~bounds.fixed_mask).tolist():
        loads = mixture.factors[:, :, class_id]
        deviations = np.sqrt((loads**2).sum(axis=0))
        unit = np.maximum(deviations, _SMALLEST_DEVIATION)
        distance = (bounds.lower[class_id] - BOUND_TOLERANCE - mixture.means[:, class_id]) / unit
        probabilities = np.array([0.5 * erfc(d / sqrt(2.0)) for d in distance.tolist()])
        directions = (mixture.factors * (loads / unit)[:, :, None]).sum(axis=0)
        tails.append(_Tail(class_id, probabilities, deviations, directions))
    return min(tails, key=lambda tail: float(mixture.weights @ tail.probabilities), default=None)
