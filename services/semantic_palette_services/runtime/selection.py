"""Which engine runs a model: the fastest of those that reproduce the golden outputs, found by measuring.

Every engine that is installed loads the model, answers the bundle's golden inputs, both in batches and one by one, and
is timed. What each of them reached is kept, so that ``status`` can explain the choice.

Timing is never quite the same twice, so two servers may choose differently where engines are close. That is no matter
for speed, but deterministic requests must get the same bytes from every server: they are answered by the first engine
in the fixed order of the registry that passes parity, however fast it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

from semantic_palette.manifest import ModelEntry
from semantic_palette_services.runtime.engine_probe import EngineProbe
from semantic_palette_services.runtime.engines.base import Engine
from semantic_palette_services.runtime.engines.registry import EngineKind, candidates
from semantic_palette_services.runtime.errors import EngineLoadError, EngineUnavailableError, ParityError
from semantic_palette_services.runtime.golden import GoldenSamples
from semantic_palette_services.runtime.parity import ParityReport
from semantic_palette_services.runtime.settings import RuntimeSettings

logger = logging.getLogger(__name__)

# What a turn of the device costs beside the engine (stacking, splitting, waking the event loop), whatever its size.
TURN_SECONDS = 2e-4
# A larger batch has to save this share of an item's time; less is within the noise of the timing.
BATCH_GAIN = 0.05


@dataclass(frozen=True, slots=True)
class Candidate:
    """What became of one engine.

    Attributes:
        key: name that the engine is pinned by.
        accepted: whether it loaded and passed parity.
        reason: why, with figures.
        seconds: median seconds of a batch, by batch size; empty if not accepted.
    """

    key: str
    accepted: bool
    reason: str
    seconds: dict[int, float] = field(default_factory=dict)

    @property
    def best_batch_size(self) -> int:
        """The smallest batch size, of those measured, at which an item takes hardly longer than at the best.

        On a CPU that is often 1: the activations of one sample fit its caches, those of eight do not. And where a
        batch takes as long as its items one by one, it makes most of them wait for nothing.
        """
        least = min(map(self._seconds_per_item, self.seconds))
        return min(size for size in self.seconds if self._seconds_per_item(size) <= (1.0 + BATCH_GAIN) * least)

    @property
    def seconds_per_item(self) -> float:
        """Seconds that an item takes at the best batch size."""
        return self._seconds_per_item(self.best_batch_size)

    def _seconds_per_item(self, size: int) -> float:
        return (self.seconds[size] + TURN_SECONDS) / size

    def describe(self) -> str:
        """One line for people."""
        times = ", ".join(f"{1e3 * seconds:.1f} ms a batch of {size}" for size, seconds in self.seconds.items())
        return f"{self.key}: {self.reason}" + (f"; {times}" if times else "")


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Which engines a model runs on, and why.

    Attributes:
        operation: the operation, such as "layout" or "image".
        chosen: key of the engine for ordinary items.
        deterministic: key of the engine for deterministic items.
        candidates: every engine that was considered.
    """

    operation: str
    chosen: str
    deterministic: str
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate:
        """The candidate that was chosen."""
        return next(candidate for candidate in self.candidates if candidate.key == self.chosen)

    def explain(self) -> str:
        """The choice and every candidate, a line each."""
        head = f"{self.operation}: {self.chosen}, deterministic items {self.deterministic}"
        return "\n".join([head, *(f"  {candidate.describe()}" for candidate in self.candidates)])


@dataclass(frozen=True, slots=True)
class Selection:
    """The engines of a model, loaded; the two are one object where the same engine does both.

    Attributes:
        choice: why these.
        engine: runs ordinary items.
        deterministic_engine: runs deterministic items.
        load_again: loads the same engines anew, without checking or measuring them.
    """

    choice: EngineChoice
    engine: Engine
    deterministic_engine: Engine
    load_again: Callable[[], Selection]

    def close(self) -> None:
        """Close the engines."""
        self.engine.close()
        self.deterministic_engine.close()


SelectionSteps: TypeAlias = Generator[None, None, Selection]


def select_engine(
    operation: str, path: Path, entry: ModelEntry, golden: GoldenSamples, settings: RuntimeSettings
) -> Selection:
    """Load, check and time the allowed engines for a model, and keep the best; see `selection_steps`."""
    steps = selection_steps(operation, path, entry, golden, settings)
    while (selection := advance(steps)) is None:
        pass
    return selection


def advance(steps: SelectionSteps) -> Selection | None:
    """Make the next step; the selection once the last has been made."""
    try:
        next(steps)
    except StopIteration as end:
        selection: Selection = end.value
        return selection
    return None


def selection_steps(
    operation: str, path: Path, entry: ModelEntry, golden: GoldenSamples, settings: RuntimeSettings
) -> SelectionSteps:
    """Load, check and time the allowed engines for a model, and keep the best.

    Every step loads an engine or runs it once, so that a device that serves other models meanwhile can do so between
    two of them. Steps that are given up, which is when nobody refers to them any more, free what they have loaded.

    Args:
        operation: the operation, such as "layout" or "image".
        path: the ONNX file.
        entry: the manifest's description of it.
        golden: the golden samples of the model.
        settings: engine allowed, threads, and the largest batch.

    Raises:
        EngineUnavailableError: the engine asked for, or every engine, is not installed or lacks what it needs.
        EngineLoadError: the engine asked for cannot load the file.
        ParityError: no engine allowed reproduces the golden outputs; it tells what each did.
    """
    kinds = candidates(settings.engine)
    tried: list[Candidate] = []
    engines: dict[str, Engine] = {}
    try:
        for kind in kinds:
            candidate, engine = yield from _try_engine(kind, path, entry, golden, settings, pinned=len(kinds) == 1)
            tried.append(candidate)
            if engine is not None:
                engines[kind.key] = engine
        accepted = [candidate for candidate in tried if candidate.accepted]
        if not accepted:
            raise ParityError(operation, "\n".join(candidate.describe() for candidate in tried))
    except BaseException:
        for engine in engines.values():
            engine.close()
        raise
    chosen = min(accepted, key=lambda candidate: candidate.seconds_per_item).key
    choice = EngineChoice(operation, chosen, accepted[0].key, tuple(tried))
    for key in engines.keys() - {choice.chosen, choice.deterministic}:
        engines[key].close()
    logger.info("%s", choice.explain())
    load = partial(_load_chosen, choice, kinds, path, entry, settings.threads)
    return Selection(choice, engines[choice.chosen], engines[choice.deterministic], load)


def _load_chosen(
    choice: EngineChoice, kinds: Sequence[EngineKind], path: Path, entry: ModelEntry, threads: int
) -> Selection:
    loaders = {kind.key: kind.load for kind in kinds}
    engines = {key: loaders[key](path, entry, threads) for key in {choice.chosen, choice.deterministic}}
    load = partial(_load_chosen, choice, kinds, path, entry, threads)
    return Selection(choice, engines[choice.chosen], engines[choice.deterministic], load)


def _try_engine(
    kind: EngineKind,
    path: Path,
    entry: ModelEntry,
    golden: GoldenSamples,
    settings: RuntimeSettings,
    *,
    pinned: bool,
) -> Generator[None, None, tuple[Candidate, Engine | None]]:
    """Load, check and time one engine; one that is not accepted is closed and explained."""
    try:
        engine = kind.load(path, entry, settings.threads)
    except (EngineUnavailableError, EngineLoadError) as error:
        if pinned:
            raise
        return Candidate(kind.key, False, str(error)), None
    try:
        yield
        probe = EngineProbe(engine, entry, golden, settings.max_batch_size)
        report = yield from probe.check_parity()
        seconds = (yield from probe.median_seconds()) if report.passed else {}
    except Exception as error:
        # Engines raise what they like. One that cannot answer the golden inputs is not accepted, and that is told.
        report, seconds = ParityReport(False, f"fails on the golden inputs: {type(error).__name__}: {error}"), {}
    except GeneratorExit:
        engine.close()
        raise
    if not report.passed:
        engine.close()
        return Candidate(kind.key, False, report.reason), None
    return Candidate(kind.key, True, report.reason, seconds), engine
