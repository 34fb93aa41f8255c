"""Trains the layout generator: progressive levels, WGAN-GP and a conditional objective (sections 3.1 and 3.2).

Shape suffixes: B batch, K classes, H and W pixels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semantic_palette.layout import colourise
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.losses.conditional import conditional_terms
from semantic_palette_training.losses.matching import soft_histogram
from semantic_palette_training.losses.wgan import gradient_penalty
from semantic_palette_training.models.progressive import LayoutDiscriminator, LayoutGenerator
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.context import Shard, TrainContext
from semantic_palette_training.trainers.critic import Scores, judge_fakes, judge_reals
from semantic_palette_training.trainers.ema import ExponentialAverage
from semantic_palette_training.trainers.export_state import export_state
from semantic_palette_training.trainers.layout_batches import LayoutBatches, StepDraw
from semantic_palette_training.trainers.layout_config import LayoutTrainConfig
from semantic_palette_training.trainers.metrics import MetricSum, hard_kl
from semantic_palette_training.trainers.phases import images_seen, position, total_steps

Feedback = Callable[[Shard, Tensor], Tensor]
"""Takes a shard and its generated layouts [B, K, H, W]; gives the gradient of a further loss with respect to them."""


@dataclass(frozen=True, slots=True)
class LayoutFakes:
    """What the generator made for a shard, as the discriminator sees it."""

    shard: Shard
    layout_BKHW: Tensor
    palette_BK: Tensor


class LayoutTrainer:
    """The layout stage. One step updates the generator, then the discriminator on the same layouts.

    The discriminator does not change in between, so its pass over the generated layouts is done once: the gradient of
    its scores goes to its own weights and, with the opposite sign, to the generator.
    """

    name = "layout"

    def __init__(
        self, config: LayoutTrainConfig, scenes: Scenes, palettes: PaletteModel, context: TrainContext
    ) -> None:
        """Build the networks and put the data on the device.

        Args:
            config: how to train.
            scenes: real layouts at the last level's resolution.
            palettes: palettes for generated layouts are drawn from it.
            context: device and processes.

        Raises:
            InvalidInputError: the config does not fit the data, or its values do not go together.
        """
        shape = SceneShape(scenes.label_space.num_classes, *scenes.labels.shape[1:])
        config.check(shape)
        self.config, self.context, self.shape = config, context, shape
        self.seed = config.seed
        self.label_space = scenes.label_space
        torch.manual_seed(config.seed)
        self.generator = context.place(LayoutGenerator(config.generator, shape))
        self.discriminator = context.place(LayoutDiscriminator(config.generator, shape))
        self.average = ExponentialAverage(self.generator, config.average_decay)
        self.optimisers = [
            context.adam(network, config.learning_rate, config.betas)
            for network in (self.generator, self.discriminator)
        ]
        self.batches = LayoutBatches(config, scenes, palettes, context)
        self.total_steps = total_steps(config.phases)
        self.step_index = 0

    @property
    def images_seen(self) -> int:
        """Real layouts that the steps so far have taken, over all processes."""
        return images_seen(self.config.phases, self.step_index)

    def run_step(self) -> dict[str, float | Tensor]:
        """One generator update and one discriminator update."""
        phase, _ = position(self.config.phases, self.step_index)
        draw = self.batches.draw(self.step_index)
        metrics = MetricSum()
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        fakes = [self.generate(draw, shard, metrics) for shard in self.context.shards(phase.batch_size)]
        self.update_generator()
        for made in fakes:
            self.judge(draw, made, metrics)
        self.update_discriminator()
        self.average.update(self.generator, self.step_index)
        self.step_index += 1
        return metrics.values

    def generate(
        self, draw: StepDraw, shard: Shard, metrics: MetricSum, feedback: Feedback | None = None
    ) -> LayoutFakes:
        """Generate a shard; leave the generator's gradients, and the discriminator's of its scores of the shard.

        Args:
            draw: the step's random choices.
            shard: which of its samples.
            metrics: receives the losses.
            feedback: what else judges the layouts (end-to-end fine-tuning, section 3.3).
        """
        phase, fade = position(self.config.phases, self.step_index)
        palette_BK = self.batches.palettes(draw, shard)
        with self.context.autocast(self.config.autocast):
            outputs = self.generator(self.batches.latents(draw, shard), palette_BK, phase.level, fade)
        terms = conditional_terms(self.config.conditional, outputs, palette_BK, multi_scale=self.config.multi_scale)
        soft_BKHW = outputs[-1].soft_BKHW
        seen_BKHW = self.batches.fake(draw, shard, soft_BKHW)
        score, gradient_BKHW = judge_fakes(self._scores(palette_BK), seen_BKHW, shard.weight)
        if feedback is not None:
            gradient_BKHW = gradient_BKHW + feedback(shard, seen_BKHW.detach())
        tensors, gradients = [seen_BKHW], [gradient_BKHW]
        if terms:
            tensors.append(shard.weight * phase.conditional_weight * torch.stack(list(terms.values())).sum())
            gradients.append(torch.ones_like(tensors[-1]))
        torch.autograd.backward(tensors, gradients)
        metrics.add(shard.weight, adversarial=-score, critic=score, level=float(phase.level), **terms)
        if self.config.generator.conditioning != "none":
            metrics.add(shard.weight, kl=hard_kl(soft_BKHW.detach(), palette_BK))
        return LayoutFakes(shard, seen_BKHW.detach(), palette_BK)

    def judge(self, draw: StepDraw, fakes: LayoutFakes, metrics: MetricSum) -> None:
        """Add the discriminator's gradients of real layouts and of the penalty to what `generate` left."""
        phase, _ = position(self.config.phases, self.step_index)
        weight = fakes.shard.weight
        real_BKHW = self.batches.real(draw, fakes.shard, phase.level)
        # A conditional critic judges generated layouts by what was asked for, real ones by what they have.
        palette_BK = soft_histogram(real_BKHW) if self.config.generator.discriminator_conditioning else None
        scores = self._scores(palette_BK)
        metrics.add(weight, critic=-judge_reals(scores, real_BKHW, weight))
        # Counted from the end of an interval, so that round-numbered points of the curves have a penalty to show.
        if (self.step_index + 1) % self.config.penalty_every == 0:
            with self.context.autocast(self.config.autocast):
                mix_B = self.batches.mix(draw, fakes.shard)
                penalty = gradient_penalty(scores, real_BKHW, fakes.layout_BKHW, mix_B)
            (weight * self.config.penalty_weight * self.config.penalty_every * penalty).backward()  # type: ignore[no-untyped-call]
            metrics.add(weight, penalty=penalty)

    def _scores(self, palette_BK: Tensor | None) -> Scores:
        """The discriminator as it is in this step."""
        phase, fade = position(self.config.phases, self.step_index)

        def scores(layout_BKHW: Tensor) -> Tensor:
            with self.context.autocast(self.config.autocast):
                scores_B: Tensor = self.discriminator(layout_BKHW, phase.level, fade, palette_BK)
            return scores_B

        return scores

    def update_generator(self) -> None:
        """Update the generator by the gradients that its shards left on all processes."""
        self.context.sum_gradients(self.generator.parameters())
        self.optimisers[0].step()

    def update_discriminator(self) -> None:
        """Update the discriminator in the same way."""
        self.context.sum_gradients(self.discriminator.parameters())
        self.optimisers[1].step()

    def state_dict(self) -> dict[str, Any]:
        """Networks, average, optimisers and step."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step_index": self.step_index,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`'s result."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.average.average.load_state_dict(state["average"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step_index = int(state["step_index"])

    @torch.no_grad()
    def sample_sheet(self) -> NDArray[np.uint8]:
        """Layouts of the averaged generator for 16 palettes at the active level, four a row, coloured."""
        phase, fade = position(self.config.phases, self.step_index)
        noise = torch.Generator().manual_seed(self.config.seed)
        z_BZ = torch.randn(16, self.config.generator.latent_size, generator=noise).to(self.context.device)
        chosen = torch.arange(16, device=self.context.device) % len(self.batches.palettes_PK)
        output = self.average.average(z_BZ, self.batches.palettes_PK[chosen], phase.level, fade)[-1]
        labels = output.soft_BKHW.argmax(dim=1).to(torch.uint8).cpu().numpy()
        scale = 2 ** (self.config.generator.num_levels - 1 - phase.level)
        tiles = colourise(labels.repeat(scale, axis=1).repeat(scale, axis=2), self.label_space)
        rows = [np.concatenate(list(tiles[i : i + 4]), axis=1) for i in range(0, 16, 4)]
        return np.concatenate(rows, axis=0)

    def export_states(self) -> dict[str, dict[str, Any]]:
        """Averaged weights with the config that rebuilds the network, as kind `layout`."""
        progress = (self.step_index, self.total_steps)
        state = export_state(self.config.generator, self.average.average, self.label_space, self.shape, *progress)
        return {"layout": state}
