"""Labels with given class counts and the greatest total score: a transport problem of few classes and many pixels.

Its dual has one offset a class: min_b sum_p max_c(u_cp + b_c) - sum_c n_c b_c. Labels argmax_c(u_cp + b_c) that meet
the counts are optimal (complementary slackness), so the search is for a few offsets, not for every label:

1. Where the counts are far off, offsets that are right on a sample of the pixels.
2. A solution on the pixels nearest to a class boundary. The others keep their labels, which is optimal as long as
   the offsets move less than the margins of those pixels; otherwise the step is repeated from the new offsets.
3. Within both: exact coordinate steps, each of which sets one offset to the quantile that gives its class its count.
   They can get stuck, so the last misplaced pixels move along shortest augmenting paths on the graph of classes.

Legend: A classes, N pixels. All is float64, so that a tie-breaking term below the rounding of float32 scores survives.
"""

import numpy as np
import numpy.typing as npt

from semantic_palette.palette import FloatArray

IntArray = npt.NDArray[np.int64]
Labels = npt.NDArray[np.intp]

_TIE_BREAK = 2.0**-26
"""Relative size of the tie-breaking term: a quarter of the rounding of float32."""
_GOLDEN = 0.6180339887498949
_SAMPLE_PIXELS = 4096
_BOUNDARY_PIXELS = 2048
_MAX_SWEEPS = 24
_LEFT_TO_PATHS = 6
"""Misplaced pixels below which a path a pixel is cheaper than another sweep."""


def assign(scores: npt.NDArray[np.float32], counts: IntArray) -> Labels:
    """Returns labels [N] with exactly `counts` [A] pixels a class and the greatest total score.

    Args:
        scores: Finite scores, [A, N].
        counts: Each at least 1, sum N.
    """
    utilities, offsets = _prepare(scores)
    margins, labels = _best_two(utilities, offsets)
    num_misplaced = _num_misplaced(labels, counts)
    if num_misplaced > labels.size // 16:
        # The step is odd, so that the sample does not fall on a few columns of the layout.
        sample = np.ascontiguousarray(utilities[:, :: max(1, labels.size // _SAMPLE_PIXELS) | 1])
        targets = np.rint(counts * (sample.shape[1] / labels.size)).astype(np.int64)
        offsets = _sweep(sample, targets, offsets, patience=len(counts) // 2)
        margins, labels = _best_two(utilities, offsets)
        num_misplaced = _num_misplaced(labels, counts)
    size = _BOUNDARY_PIXELS
    while num_misplaced:
        size = min(max(size, 4 * num_misplaced), labels.size)
        near = np.argpartition(margins, size - 1)[:size]
        targets = counts - _count(labels, len(counts)) + _count(labels[near], len(counts))
        if targets.min() < 0:
            size *= 2
            continue
        moved, near_labels = _solve(np.ascontiguousarray(utilities[:, near]), targets, offsets)
        if size == labels.size or np.ptp(moved - offsets) <= margins[near[-1]]:
            labels[near] = near_labels
            break
        before, offsets = num_misplaced, moved
        margins, labels = _best_two(utilities, offsets)
        num_misplaced = _num_misplaced(labels, counts)
        if 2 * num_misplaced > before:
            size *= 2
    return labels


def _prepare(scores: npt.NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
    """Splits scores into utilities [A, N] in [-1, 0], scaled and without ties, and the offsets [A] they had."""
    utilities = scores.astype(np.float64)
    offsets = utilities.max(axis=1)
    utilities -= offsets[:, None]
    spans = -utilities.min(axis=1)
    scale = float(spans.max()) or 1.0
    utilities /= scale
    smallest = float(spans[spans > 0.0].min(initial=scale)) / scale
    # A different low-discrepancy sequence for every pair of classes, so that no two pixels tie for a change of class.
    pixel = np.arange(scores.shape[1]) * _GOLDEN
    for i, utility in enumerate(utilities):
        step = pixel * (i + 1)
        step -= np.floor(step)
        utility += (smallest - utility) * step * _TIE_BREAK
    return utilities, offsets / scale


def _best_two(utilities: FloatArray, offsets: FloatArray) -> tuple[FloatArray, Labels]:
    """Returns how much the best class of each pixel leads the second, [N], and the best classes, [N]."""
    best = utilities[0] + offsets[0]
    second = np.full_like(best, -np.inf)
    labels = np.zeros(best.shape, dtype=np.intp)
    for i in range(1, len(utilities)):
        value = utilities[i] + offsets[i]
        np.copyto(labels, i, where=value > best)
        np.maximum(second, np.minimum(best, value), out=second)
        np.maximum(best, value, out=best)
    return best - second, labels


def _count(labels: Labels, num_classes: int) -> IntArray:
    return np.bincount(labels, minlength=num_classes).astype(np.int64)


def _num_misplaced(labels: Labels, counts: IntArray) -> int:
    return int(np.abs(_count(labels, len(counts)) - counts).sum()) // 2


def _solve(utilities: FloatArray, targets: IntArray, offsets: FloatArray) -> tuple[FloatArray, Labels]:
    """Returns optimal offsets [A] and labels [N] that meet the targets [A] exactly."""
    offsets = _sweep(utilities, targets, offsets)
    values = utilities + offsets[:, None]
    labels = values.argmax(axis=0)
    excess = _count(labels, len(targets)) - targets
    return offsets + _augment(values, labels, excess), labels


def _sweep(utilities: FloatArray, targets: IntArray, offsets: FloatArray, patience: int = _LEFT_TO_PATHS) -> FloatArray:
    """Returns offsets [A] at which few pixels are misplaced, by exact coordinate steps on the dual."""
    offsets = offsets.copy()
    values = utilities + offsets[:, None]
    for _ in range(_MAX_SWEEPS):
        num_wrong = 0
        for i, target in enumerate(targets.tolist()):
            values[i] = -np.inf
            lead = utilities[i] - values.max(axis=0)
            wrong = int(np.count_nonzero(lead > -offsets[i])) - target
            if wrong:
                offsets[i] = -_threshold(lead, target)
                num_wrong += abs(wrong)
            np.add(utilities[i], offsets[i], out=values[i])
        if num_wrong <= 2 * patience:
            break
    return offsets


def _threshold(lead: FloatArray, count: int) -> float:
    """Returns a number that exactly `count` of the leads exceed, in the middle of the gap."""
    num_below = lead.size - count
    if num_below == 0:
        return float(lead.min()) - _TIE_BREAK
    if count == 0:
        return float(lead.max()) + _TIE_BREAK
    ordered = np.partition(lead, (num_below - 1, num_below))
    return float(0.5 * (ordered[num_below - 1] + ordered[num_below]))


def _augment(values: FloatArray, labels: Labels, excess: IntArray) -> FloatArray:
    """Moves pixels along successive shortest paths until no class has an excess; changes labels and excess in place.

    Returns:
        What the offsets of the classes change by, [A], for the labels to be the argmax again.
    """
    num_classes = len(values)
    cost = np.full((num_classes, num_classes), np.inf)
    cheapest = np.zeros((num_classes, num_classes), dtype=np.intp)
    potentials = np.zeros(num_classes)
    stale = set(range(num_classes)) if excess.any() else set()
    while excess.any():
        for i in stale:
            _cheapest_moves(values, labels, i, cost, cheapest)
        source = int(excess.argmax())
        # Never negative but for rounding, which must not lead Dijkstra's algorithm in circles.
        reduced = np.maximum(cost + potentials[:, None] - potentials, 0.0)
        distance, previous = _shortest_paths(reduced, source)
        potentials += distance
        sink = int(np.where(excess < 0, distance, np.inf).argmin())
        excess[source] -= 1
        excess[sink] += 1
        stale = {sink}
        while sink != source:
            before = int(previous[sink])
            labels[cheapest[before, sink]] = sink
            sink = before
            stale.add(sink)
    return potentials


def _cheapest_moves(
    values: FloatArray, labels: Labels, class_id: int, cost: FloatArray, cheapest: npt.NDArray[np.intp]
) -> None:
    """Fills a class's rows: the least loss of moving one of its pixels to each other class, and that pixel."""
    members = np.flatnonzero(labels == class_id)
    cost[class_id] = np.inf
    if members.size == 0:
        return
    losses = values[class_id, members] - values[:, members]
    first = losses.argmin(axis=1)
    cost[class_id] = losses[np.arange(len(values)), first]
    cost[class_id, class_id] = np.inf
    cheapest[class_id] = members[first]


def _shortest_paths(cost: FloatArray, source: int) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Dijkstra's algorithm on a dense graph: distances from the source [A] and the class before each [A]."""
    distance = np.full(len(cost), np.inf)
    distance[source] = 0.0
    previous = np.full(len(cost), source, dtype=np.intp)
    is_open = np.ones(len(cost), dtype=np.bool_)
    for _ in range(len(cost)):
        node = int(np.where(is_open, distance, np.inf).argmin())
        is_open[node] = False
        through = distance[node] + cost[node]
        shorter = is_open & (through < distance)
        distance[shorter] = through[shorter]
        previous[shorter] = node
    return distance, previous
