"""Running a model on N samples: each is an item of the model's batcher, like those of every other service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.editing import keep_outside
from semantic_palette_services.concurrency import WorkerPool, gather_or_cancel
from semantic_palette_services.runtime.admission import Room
from semantic_palette_services.runtime.batch_arrays import Outputs
from semantic_palette_services.runtime.served_model import ServedModel

Arrays = Mapping[str, NDArray[Any]]

# What the noise of a model is keyed by, beside seed and index: the same as in the other services.
_NOISE_STAGES = {"layout": "layout", "editor": "edit", "image": "image"}


def draws_noise(model: ServedModel) -> bool:
    """Whether the model takes noise, which a seed can stand for."""
    return model.takes("z")


def draw_noise(model: ServedModel, seed: int, index: int, count: int) -> NDArray[np.float32]:
    """Noise of ``count`` samples, float32 ``[N, Z]``: what the other services draw for (seed, index), (seed, index + 1)
    and so on.
    """
    stage = _NOISE_STAGES[model.operation]
    return np.stack([model.noise(seed, index + offset, stage)["z"] for offset in range(count)])


async def infer_all(
    model: ServedModel, arrays: Arrays, pool: WorkerPool, deadline: float | None, room: Room, *, deterministic: bool
) -> Outputs:
    """Run a model on the samples of ``arrays``, ``[N, ...]`` each; all succeed or the first failure is raised.

    Args:
        model: the model.
        arrays: its inputs.
        pool: threads to put answers together in.
        deadline: when the answer is worth nothing any more, in the event loop's time.
        room: places for N items, from ``model.reserve``.
        deterministic: see `Batcher.submit`.

    Returns:
        Arrays ``[N, ...]`` by output name, samples in the order given.

    Raises:
        RuntimeServiceError: the model is overloaded, stopping or failed.
    """
    # In the manifest's order, which every service keeps: only then do items share batches with theirs.
    names = [spec.name for spec in model.entry.inputs]
    count = len(arrays[names[0]])
    samples = [{name: arrays[name][sample] for name in names} for sample in range(count)]
    answers = await gather_or_cancel(model.infer(sample, deadline, deterministic, room) for sample in samples)
    return await pool.run(_assemble, model.operation, arrays, answers)


def _assemble(operation: str, arrays: Arrays, answers: list[Outputs]) -> Outputs:
    outputs = {name: np.stack([answer[name] for answer in answers]) for name in answers[0]}
    if operation == "editor":
        # The graph promises as much, but a file that somebody else made is no proof.
        outputs["edited"] = keep_outside(outputs["edited"], arrays["labels"], arrays["mask"] > 0)
    return outputs
