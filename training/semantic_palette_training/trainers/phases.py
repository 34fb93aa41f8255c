"""The schedule of progressive networks: stretches of training at one level, each faded in and then stabilised.

Level l has 2^l times the base resolution. Everything here is a function of the step alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import require_at_least


@dataclass(kw_only=True, slots=True)
class Phase:
    """A stretch of training at one level."""

    level: int
    """Active level: 2^level times the base resolution."""
    fade_steps: int = 0
    """Steps over which the level is faded in."""
    stable_steps: int = 0
    """Steps after the fade."""
    batch_size: int = 16
    """Layouts a step."""
    conditional_weight: float = 1.0
    """Weight of the entropy and spread losses (the paper: 1). The critic's gradient has norm 1 over a whole layout,
    that of a mean over N pixels about 1 / sqrt(N): a weight that doubles with the level keeps their balance."""

    @property
    def steps(self) -> int:
        """How many steps the phase has."""
        return self.fade_steps + self.stable_steps


def total_steps(phases: Sequence[Phase]) -> int:
    """Steps of all phases together."""
    return sum(phase.steps for phase in phases)


def position(phases: Sequence[Phase], step: int) -> tuple[Phase, float]:
    """The phase that holds a step and the weight in (0, 1] of its level; after the end, the last phase."""
    for phase in phases:
        if step < phase.steps:
            return phase, min(1.0, (step + 1) / phase.fade_steps) if phase.fade_steps else 1.0
        step -= phase.steps
    return phases[-1], 1.0


class Batches(Protocol):
    """Steps with the same batch size: a phase of any stage."""

    @property
    def steps(self) -> int:
        """How many."""

    @property
    def batch_size(self) -> int:
        """Real samples a step."""


def images_seen(phases: Sequence[Batches], step: int) -> int:
    """Real samples that the first `step` steps take, over all processes."""
    seen = 0
    for phase in phases:
        seen += phase.batch_size * max(0, min(step, phase.steps))
        step -= phase.steps
    return seen


def check_phases(stage: str, phases: Sequence[Phase], num_levels: int) -> None:
    """Raise an InvalidInputError that names a phase's field unless levels ascend to the last and counts are valid."""
    for index, phase in enumerate(phases):
        require_at_least(f"{stage}.phases[{index}].fade_steps", phase.fade_steps, 0)
        require_at_least(f"{stage}.phases[{index}].stable_steps", phase.stable_steps, 0)
        require_at_least(f"{stage}.phases[{index}].batch_size", phase.batch_size, 1)
        require_at_least(f"{stage}.phases[{index}].conditional_weight", phase.conditional_weight, 0)
    levels = [phase.level for phase in phases]
    if not levels or levels != sorted(levels) or levels[0] < 0 or levels[-1] != num_levels - 1:
        raise InvalidInputError(f"{stage}.phases", levels, f"ascending levels that end at {num_levels - 1}")
    if total_steps(phases) < 1:
        raise InvalidInputError(f"{stage}.phases", f"{total_steps(phases)} steps", "at least 1 step in all phases")
