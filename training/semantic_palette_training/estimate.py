"""What training by a recipe takes: operations, counted without doing them, and hours on the device at hand."""

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from semantic_palette_training.data.registry import scene_shape
from semantic_palette_training.recipe import Recipe
from semantic_palette_training.rehearsal import meta_inputs, meta_stage
from semantic_palette_training.stages import StageInputs
from semantic_palette_training.trainers.context import TrainContext

_RATE_CHANNELS, _RATE_SIZE = 128, (32, 64)


@dataclass(frozen=True, slots=True)
class Rate:
    """Speed of a device in training, floating-point operations a second."""

    single: float
    """Networks in float32."""
    autocast: float
    """Networks in bfloat16."""


class TrainingFlop:
    """Counts the operations of recipes; a phase that recipes share is counted once."""

    def __init__(self) -> None:
        self._counted: dict[str, float] = {}

    def stages(self, recipe: Recipe) -> dict[str, float]:
        """Floating-point operations that each stage of the recipe takes, over all its steps.

        A step of every phase is run on torch's meta device, on which convolutions and matrix products, those of the
        backward passes and of the gradient penalty included, are counted (two operations a multiply-add), not done.
        """
        inputs = meta_inputs(recipe)
        return {name: self._stage(name, inputs) for name in recipe.stages() if name != "palette"}

    def _stage(self, name: str, inputs: StageInputs) -> float:
        config = getattr(inputs.recipe, name)
        phases = config.phases if hasattr(config, "phases") else (config,)
        total, first = 0.0, 0
        for phase in phases:
            first += phase.steps
            # What a step costs depends on neither the number of steps nor the level's weight while it is faded in.
            key = repr((name, _shape_key(inputs.recipe), dataclasses.replace(phase, **_no_steps(phase)), _rest(config)))
            if key not in self._counted:
                self._counted[key] = _step_flop(name, inputs, first - 1)
            total += phase.steps * self._counted[key]
        return total


def hours(recipe: Recipe, flop: dict[str, float], rate: Rate) -> float:
    """Hours of all stages, one after the other, at a measured rate."""
    seconds = 0.0
    for name, operations in flop.items():
        seconds += operations / (rate.autocast if getattr(recipe, name).autocast else rate.single)
    return seconds / 3600


def measured_rate(device: torch.device, seconds: float = 30.0) -> Rate:
    """The rate of forward and backward passes through 3x3 convolutions, half the time in each precision."""
    context = TrainContext(device)
    layers = [nn.Conv2d(_RATE_CHANNELS, _RATE_CHANNELS, 3, padding=1) for _ in range(4)]
    network = context.place(nn.Sequential(*layers))
    batch_size = 256 if device.type == "cuda" else 8
    x_BCHW = torch.zeros(batch_size, _RATE_CHANNELS, *_RATE_SIZE, device=device).requires_grad_(True)

    def rate(autocast: bool) -> float:
        def run() -> None:
            with context.autocast(autocast):
                network(x_BCHW).sum().backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        with _FlopCounter() as counter:
            run()
        passes, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds / 2:
            run()
            passes += 1
        return float(passes * counter.total / (time.perf_counter() - start))

    return Rate(single=rate(False), autocast=rate(True))


class _FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up operations by torch's own formulas.

    Its FlopCounterMode also tracks modules, by hooks that the gradient inside a gradient penalty does not allow.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += int(formula(*args, **(kwargs or {}), out_val=result))
        return result


def _step_flop(name: str, inputs: StageInputs, last: int) -> float:
    """Operations of a step near `last`, averaged over those with and those without a gradient penalty."""
    stage = meta_stage(name, inputs)
    penalty_every = getattr(getattr(inputs.recipe, name), "penalty_every", 1)
    with_penalty = max(penalty_every - 1, last - (last + 1) % penalty_every)
    counts = []
    for step in (with_penalty, with_penalty - 1)[: min(penalty_every, 2)]:
        stage.step_index = step
        with _FlopCounter() as counter:
            stage.run_step()
        counts.append(counter.total)
    return float(counts[0] + (penalty_every - 1) * counts[-1]) / penalty_every


def _no_steps(phase: Any) -> dict[str, int]:
    """The phase's counts of steps, as one."""
    return {field.name: 1 for field in dataclasses.fields(phase) if field.name.endswith("steps")}


def _rest(config: Any) -> Any:
    """A stage's section without its phases."""
    return dataclasses.replace(config, phases=()) if hasattr(config, "phases") else ()


def _shape_key(recipe: Recipe) -> tuple[Any, ...]:
    """What else a step's work depends on: the shape of scenes and, end to end, the other sections."""
    end_to_end = (_rest(recipe.layout), _rest(recipe.image)) if recipe.end_to_end else ()
    return (scene_shape(recipe.data), end_to_end)
