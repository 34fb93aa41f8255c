"""Trains an image generator against the discriminator of an objective.

Legend: B batch, N scenes, K classes, H and W pixels, Z latent size, S style size.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semantic_palette.layout import colourise
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.models.image_generators import build_image_generator
from semantic_palette_training.models.layout_to_image import LayoutToImage
from semantic_palette_training.models.sean import SeanGenerator
from semantic_palette_training.models.spade import one_hot
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.calibration import calibrated
from semantic_palette_training.trainers.context import Shard, TrainContext
from semantic_palette_training.trainers.ema import ExponentialAverage
from semantic_palette_training.trainers.export_state import export_state
from semantic_palette_training.trainers.image_batches import ImageBatches, ImageDraws
from semantic_palette_training.trainers.image_config import (
    ImageTrainConfig,
    check_image,
)
from semantic_palette_training.trainers.metrics import MetricSum
from semantic_palette_training.trainers.objectives import SceneBatch, build_objective
from semantic_palette_training.trainers.phases import images_seen
from semantic_palette_training.trainers.randomness import step_generator

SHEET_ROWS = 6


class ImageTrainer:
    """The image stage: one run of `run_step` updates the discriminator, then the generator, on one batch.

    Where the batch goes through the networks whole, one generator pass serves both updates; where it is accumulated,
    the images are made once for each update, since keeping all their graphs is what accumulation avoids. Batch
    statistics of generators that have them are those of a pass (over all GPUs, see `TrainContext.place`).

    A styled generator learns to reproduce scenes from their own styles, its encoder with it (SEAN, section 3.3).

    Args:
        config: how to train.
        train: scenes to learn from.
        validation: scenes whose layouts the sample sheet shows.
        context: where to train.

    Raises:
        InvalidInputError: a phase's height does not fit the scenes or the generator, the last is not the full one, or
            a value is out of its range.
    """

    name = "image"

    def __init__(self, config: ImageTrainConfig, train: Scenes, validation: Scenes, context: TrainContext) -> None:
        self.config = config
        self.context = context
        self.seed = config.seed
        self.validation = validation
        self.label_space = train.label_space
        self.shape = SceneShape(train.label_space.num_classes, *train.labels.shape[1:])
        self.step_index = 0
        self.total_steps = sum(phase.steps for phase in config.phases)
        torch.manual_seed(config.seed)
        check_image(config, self.shape)
        generator = build_image_generator(config.generator, self.shape)
        self.batches = ImageBatches(config, train, generator.latent_size, context.device)
        frequencies_K = torch.from_numpy(train.palettes().mean(axis=0)).float()
        autocast = functools.partial(context.autocast, config.autocast)
        self.generator: LayoutToImage = context.place(generator)
        self.objective = context.place(build_objective(config.objective, self.shape, frequencies_K, autocast))
        self.average = ExponentialAverage(self.generator, config.average_decay)
        self.generator_optimiser = context.adam(self.generator, config.learning_rate, config.betas)
        self.discriminator_optimiser = context.adam(
            self.objective.discriminator, config.discriminator_learning_rate, config.betas
        )

    @property
    def images_seen(self) -> int:
        """Real scenes that the steps so far have taken, over all processes."""
        return images_seen(self.config.phases, self.step_index)

    def run_step(self) -> dict[str, float | Tensor]:
        """Update discriminator and generator once; returns the terms of their losses."""
        self.set_learning_rates()
        numbers = step_generator(self.seed, self.name, self.step_index)
        draws = self.batches.draws(self.step_index, numbers)
        loss_draws_BN = self.objective.draws(draws.phase.batch_size, numbers)
        shards = self.context.shards(draws.phase.batch_size)
        if len(shards) == 1:
            passes = list(self._passes(draws, shards, graph=True))
            metrics = self._update_discriminator(passes, loss_draws_BN) | self._update_generator(passes)
        else:
            metrics = self._update_discriminator(self._passes(draws, shards, graph=False), loss_draws_BN)
            metrics |= self._update_generator(self._passes(draws, shards, graph=True))
        self.average.update(self.generator, self.step_index)
        self.step_index += 1
        return metrics

    def _passes(self, draws: ImageDraws, shards: Iterable[Shard], *, graph: bool) -> Iterator["_Pass"]:
        """Real scenes of each shard and images generated from their layouts, with or without the graph behind them."""
        for shard in shards:
            scenes = self.batches.scenes(draws, shard.rows)
            with torch.set_grad_enabled(graph), self.context.autocast(self.config.autocast):
                code = _code(self.generator, scenes, draws.z_BZ[shard.rows])
                fake_B3HW = self.generator.from_layout(scenes.layout_BKHW, code)
            yield _Pass(shard, scenes, fake_B3HW)

    def _update_discriminator(self, passes: Iterable["_Pass"], loss_draws_BN: Tensor) -> dict[str, float | Tensor]:
        network, sums = self.objective.discriminator, MetricSum()
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        for part in passes:
            rows_BN = loss_draws_BN[part.shard.rows].to(self.context.device)
            loss, terms = self.objective.discriminator_loss(part.scenes, part.fake_B3HW.detach(), rows_BN)
            (loss * part.shard.weight).backward()  # type: ignore[no-untyped-call]
            sums.add(part.shard.weight, **terms)
        self.context.sum_gradients(network.parameters())
        self.discriminator_optimiser.step()
        return sums.values

    def _update_generator(self, passes: Iterable["_Pass"]) -> dict[str, float | Tensor]:
        sums = MetricSum()
        self.generator_optimiser.zero_grad(set_to_none=True)
        for part in passes:
            loss, terms = self.objective.generator_loss(part.scenes, part.fake_B3HW)
            (loss * part.shard.weight).backward()  # type: ignore[no-untyped-call]
            sums.add(part.shard.weight, **terms)
        self.context.sum_gradients(self.generator.parameters())
        self.generator_optimiser.step()
        return sums.values

    def set_learning_rates(self) -> None:
        """Set both optimisers' rates to those of the next step, a function of the step alone."""
        remaining = 1.0 - self.step_index / self.total_steps
        scale = min(1.0, remaining / self.config.cool_down) if self.config.cool_down > 0 else 1.0
        for group in self.generator_optimiser.param_groups:
            group["lr"] = self.config.learning_rate * scale
        for group in self.discriminator_optimiser.param_groups:
            group["lr"] = self.config.discriminator_learning_rate * scale

    def state_dict(self) -> dict[str, Any]:
        """Networks, average, optimisers and step."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {"step_index": self.step_index}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.step_index = int(state["step_index"])

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "discriminator": self.objective.discriminator,
            "average": self.average.average,
            "generator_optimiser": self.generator_optimiser,
            "discriminator_optimiser": self.discriminator_optimiser,
        }

    @torch.no_grad()
    def sample_sheet(self) -> NDArray[np.uint8]:
        """Rows of validation scenes: the layout in colours, one or two images made from it, the real image.

        The two images have random latents, or the scene's own styles and those of the scene in the row above.
        """
        picked = np.linspace(0, len(self.validation) - 1, SHEET_ROWS).astype(int)
        labels, images = self.validation.labels[picked], self.validation.images[picked]
        layout_BKHW = one_hot(torch.from_numpy(labels).to(self.context.device), self.shape.num_classes)
        made = []
        for code in self._sheet_codes(layout_BKHW, images):
            image_B3HW = self.average.average.from_layout(layout_BKHW, code)
            made.append(((image_B3HW + 1.0) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())
        rows = np.concatenate([colourise(labels, self.label_space), *made, images], axis=2)
        return np.ascontiguousarray(rows.reshape(-1, *rows.shape[2:]))

    def _sheet_codes(self, layout_BKHW: Tensor, images_BHW3: NDArray[np.uint8]) -> list[Tensor]:
        network, device = self.average.average, self.context.device
        if isinstance(network, SeanGenerator):
            images_B3HW = torch.from_numpy(images_BHW3).to(device).permute(0, 3, 1, 2) / 127.5 - 1.0
            own_BKS = network.encode(images_B3HW, layout_BKHW)
            other_BKS = own_BKS.roll(1, dims=0)
            # A class that the other scene lacks keeps its own look.
            return [own_BKS, torch.where(other_BKS.any(dim=2, keepdim=True), other_BKS, own_BKS)]
        numbers = torch.Generator().manual_seed(0)
        shape = (2 if network.latent_size else 1, len(layout_BKHW), network.latent_size)
        return list(torch.randn(shape, generator=numbers).to(device))

    def calibrated_average(self) -> LayoutToImage:
        """The averaged generator with batch statistics of its own, over batches that follow the last step."""
        alone = dataclasses.replace(self.context, rank=0, world_size=1)

        def pass_of(network: LayoutToImage, number: int) -> None:
            step = self.total_steps + number
            draws = self.batches.draws(step, step_generator(self.seed, self.name, step))
            for shard in alone.shards(draws.phase.batch_size):
                scenes = self.batches.scenes(draws, shard.rows)
                network.from_layout(scenes.layout_BKHW, _code(network, scenes, draws.z_BZ[shard.rows]))

        return calibrated(self.average.average, pass_of)

    def export_states(self) -> dict[str, dict[str, Any]]:
        """The averaged generator and what describes it; calibrated once training is finished."""
        finished = self.step_index >= self.total_steps
        network = self.calibrated_average() if finished else self.average.average
        progress = (self.step_index, self.total_steps)
        state = export_state(self.config.generator, network, self.label_space, self.shape, *progress)
        return {"image": state}


@dataclass(frozen=True, slots=True)
class _Pass:
    """What goes through the networks together."""

    shard: Shard
    scenes: SceneBatch
    fake_B3HW: Tensor


def _code(generator: LayoutToImage, scenes: SceneBatch, z_BZ: Tensor) -> Tensor:
    """The styles of the scenes themselves for a styled generator, else the latents."""
    if isinstance(generator, SeanGenerator):
        return generator.encode(scenes.image_B3HW, scenes.layout_BKHW)
    return z_BZ.to(scenes.image_B3HW.device)
