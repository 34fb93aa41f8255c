"""Is a data set fit to train on? Reads every file once and collects all that is wrong, instead of stopping at it.

Legend: K classes, H and W pixels.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semantic_palette.label_space import LabelSpace
from semantic_palette_training.data.duplicates import Duplicate, Fingerprint, duplicates, fingerprint
from semantic_palette_training.data.registry import DataConfig, label_space_of, scene_source
from semantic_palette_training.data.scene_files import SceneFile, SceneSource, read_image, require_sizes
from semantic_palette_training.data.scenes import DataError, Split

ProblemKind = Literal["split", "unmatched", "labels", "image", "size", "duplicate"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that has to be fixed before training."""

    split: str
    kind: ProblemKind
    message: str
    """Names the file."""


@dataclass(frozen=True, slots=True)
class ClassReport:
    """How much of a split a class is."""

    id: int
    name: str
    mean_share: float
    """Mean over scenes of the class's share of the pixels."""
    scenes: int
    """Scenes that contain the class."""


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What a split holds. Shares and sizes are of the scenes that could be read."""

    split: str
    scenes: int
    sizes: dict[str, int]
    """Number of scenes by height x width of their image, the most frequent first."""
    classes: list[ClassReport]


@dataclass(slots=True)
class DataReport:
    """The whole check."""

    dataset: str
    label_space: str
    splits: list[SplitReport] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """Nothing that has to be fixed, but worth a look."""
    duplicates: list[Duplicate] = field(default_factory=list)
    """Scenes that are in two splits. Those with the same image are problems as well."""


OnScene: TypeAlias = Callable[[str, int, int], None]


def check_data(config: DataConfig, on_scene: OnScene = lambda split, done, total: None) -> DataReport:
    """Check every split of a data set on disk.

    Args:
        config: which; scenes that are drawn have nothing to check, and their report is empty.
        on_scene: called with the split, the scenes read so far and their number.

    Raises:
        InvalidInputError: the config is wrong, or the label space of a folder cannot be read.
    """
    space = label_space_of(config)
    report = DataReport(config.name, space.name)
    fingerprints: dict[str, list[Fingerprint]] = {}
    for split, source in _sources(config, report):
        findings: list[_Finding] = []
        for finding in _inspect_all(source):
            findings.append(finding)
            on_scene(split, len(findings), len(source.files))
        report.splits.append(_split_report(split, space, findings))
        report.problems += [Problem(split, kind, message) for finding in findings for kind, message in finding.problems]
        fingerprints[split] = [finding.fingerprint for finding in findings if finding.fingerprint is not None]
    report.duplicates = duplicates(fingerprints)
    for duplicate in report.duplicates:
        if duplicate.kind == "image":
            message = f"{duplicate.second}: is the same image as {duplicate.first}"
            report.problems.append(Problem(duplicate.second.split("/")[0], "duplicate", message))
    report.remarks = _remarks(report, config)
    return report


def _sources(config: DataConfig, report: DataReport) -> Iterator[tuple[Split, SceneSource]]:
    """The splits that can be listed; the others, but for a test split, and lonely files become problems."""
    seen: set[str] = set()
    splits: tuple[Split, ...] = ("train", "val", "test")
    for split in splits:
        try:
            source = scene_source(config, split)
        except DataError as error:
            if split != "test" and str(error) not in seen:
                seen.add(str(error))
                report.problems.append(Problem(split, "split", str(error)))
            continue
        if source is None:
            return
        # Splits that are a share of one folder report the same files.
        report.problems += [Problem(split, "unmatched", text) for text in source.unmatched if text not in seen]
        seen.update(source.unmatched)
        if not source.files:
            report.problems.append(Problem(split, "split", f"split {split}: no image with a label map was found"))
        yield split, source


@dataclass(slots=True)
class _Finding:
    """What one scene's files are."""

    problems: list[tuple[ProblemKind, str]]
    size: tuple[int, int] | None = None
    """Height and width of the image in pixels."""
    counts_K: NDArray[np.int64] | None = None
    """Pixels of every class."""
    fingerprint: Fingerprint | None = None


def _inspect_all(source: SceneSource) -> Iterator[_Finding]:
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(source.files), 8 * workers):
            chunk = source.files[first : first + 8 * workers]
            yield from pool.map(lambda file: _inspect(source, file), chunk)


def _inspect(source: SceneSource, file: SceneFile) -> _Finding:
    finding = _Finding([])
    labels = image = None
    try:
        labels = source.read_labels(file)
        finding.counts_K = np.bincount(labels.ravel(), minlength=source.label_space.num_classes)
    except DataError as error:
        finding.problems.append(("labels", str(error)))
    try:
        image = read_image(file.image)
        finding.size = (image.height, image.width)
    except DataError as error:
        finding.problems.append(("image", str(error)))
    if labels is None or image is None:
        return finding
    try:
        require_sizes((labels.shape[1], labels.shape[0]), image.size, file, source.same_size)
    except DataError as error:
        finding.problems.append(("size", str(error)))
    finding.fingerprint = fingerprint(file.name, image, labels)
    return finding


def _split_report(split: Split, space: LabelSpace, findings: Sequence[_Finding]) -> SplitReport:
    sizes = Counter(f"{height}x{width}" for height, width in (f.size for f in findings if f.size is not None))
    counts_NK = np.array([f.counts_K for f in findings if f.counts_K is not None]).reshape(-1, space.num_classes)
    shares_NK = counts_NK / np.maximum(1, counts_NK.sum(axis=1, keepdims=True))
    means_K = shares_NK.sum(axis=0) / max(1, len(shares_NK))
    classes = [
        ClassReport(i, name, float(means_K[i]), int(np.count_nonzero(counts_NK[:, i])))
        for i, name in enumerate(space.names)
    ]
    return SplitReport(split, len(findings), dict(sizes.most_common()), classes)


def _remarks(report: DataReport, config: DataConfig) -> list[str]:
    remarks = []
    present = {part.split: {entry.name for entry in part.classes if entry.scenes} for part in report.splits}
    every = [entry.name for entry in report.splits[0].classes] if report.splits else []
    never = [name for name in every if not any(name in names for names in present.values())]
    if never:
        remarks.append(f"never present: {', '.join(never)}")
    train = present.get("train", set())
    for split, names in present.items():
        missing = [name for name in every if name in names - train]
        if missing:
            remarks.append(f"in {split} but not in train: {', '.join(missing)}")
    for part in report.splits:
        small = sum(count for size, count in part.sizes.items() if _smaller(size, config))
        if small:
            remarks.append(f"{part.split}: {small} scenes are smaller than {config.height}x{config.width}")
    kinds = Counter(duplicate.kind for duplicate in report.duplicates)
    if kinds["labels"]:
        remarks.append(f"{kinds['labels']} label maps are in two splits with different images")
    if kinds["look"]:
        remarks.append(
            f"{kinds['look']} scenes look like one of another split (near duplicates by a small perceptual hash, "
            "which errs at times: look at them)"
        )
    return remarks


def _smaller(size: str, config: DataConfig) -> bool:
    height, width = map(int, size.split("x"))
    return height < config.height or width < config.width
