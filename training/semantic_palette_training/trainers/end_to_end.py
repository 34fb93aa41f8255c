"""Fine-tunes layout and image generator together (section 3.3): the layout generator also learns from how real the
images of its layouts look, the image generator gets used to generated layouts.

Legend: B batch, K classes, H and W pixels.

One step, with a real image x, its layout l, a palette t and noise z:

- the layout generator makes m of (z, t) and has its own losses of section 3.2;
- the image generator makes an image of m, which an unconditional discriminator judges: its loss, times
  `feedback_weight`, reaches both generators;
- the image generator makes an image of l and has the losses of its own objective, against x;
- all discriminators are then updated on the same layouts and images.
"""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semantic_palette.errors import InvalidInputError
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.config import require_above, require_at_least
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.losses import hinge
from semantic_palette_training.models.patch_discriminator import PatchDiscriminator, PatchDiscriminatorConfig
from semantic_palette_training.trainers.context import Shard, TrainContext
from semantic_palette_training.trainers.image import ImageTrainer
from semantic_palette_training.trainers.image_config import ImagePhase, ImageTrainConfig
from semantic_palette_training.trainers.layout import LayoutFakes, LayoutTrainer
from semantic_palette_training.trainers.layout_config import LayoutTrainConfig
from semantic_palette_training.trainers.metrics import MetricSum
from semantic_palette_training.trainers.objectives import SceneBatch
from semantic_palette_training.trainers.objectives.base import frozen
from semantic_palette_training.trainers.phases import Phase
from semantic_palette_training.trainers.randomness import step_generator


@dataclass(kw_only=True, slots=True)
class EndToEndTrainConfig:
    """How both generators are fine-tuned; what is not here is as in the sections `layout` and `image`."""

    steps: int
    """Updates."""
    batch_size: int = 4
    """Generated and real scenes an update, as many of each."""
    layout_learning_rate: float = 1e-4
    """Adam's, of both layout networks; the paper gives none, its public code this."""
    feedback_weight: float = 0.01
    """Weight of the unconditional discriminator's loss; the paper gives none, its public code this."""
    discriminator: PatchDiscriminatorConfig = field(default_factory=PatchDiscriminatorConfig)
    """Shape of the unconditional discriminator of images."""
    autocast: bool = False
    """Run the networks in bfloat16."""
    seed: int = 0
    """Seed of the new discriminator, noise, palettes and batches."""


@dataclass(frozen=True, slots=True)
class _Made:
    """What the generators made of a shard, for the discriminators."""

    layouts: LayoutFakes
    scenes: SceneBatch
    of_real_B3HW: Tensor
    """Images of the real layouts."""
    of_generated_B3HW: Tensor
    """Images of the generated layouts."""


class EndToEndTrainer:
    """The end-to-end stage. `start_from` gives it the two trained generators with their discriminators.

    Args:
        config: of the fine-tuning.
        layout: as the layout generator was trained.
        image: as the image generator was trained.
        train: real scenes.
        validation: held-out scenes, for the sample sheet.
        palettes: palettes for generated layouts are drawn from it.
        context: device and processes.

    Raises:
        InvalidInputError: the sections do not fit each other or the data; a styled image generator, whose styles a
            generated layout does not have.
    """

    name = "end_to_end"

    def __init__(
        self,
        config: EndToEndTrainConfig,
        layout: LayoutTrainConfig,
        image: ImageTrainConfig,
        train: Scenes,
        validation: Scenes,
        palettes: PaletteModel,
        context: TrainContext,
    ) -> None:
        require_at_least("end_to_end.steps", config.steps, 1)
        require_at_least("end_to_end.batch_size", config.batch_size, 1)
        require_above("end_to_end.layout_learning_rate", config.layout_learning_rate, 0)
        require_at_least("end_to_end.feedback_weight", config.feedback_weight, 0)
        config.discriminator.check("end_to_end.discriminator")
        self.config, self.context = config, context
        self.seed = config.seed
        self.total_steps = config.steps
        self.step_index = 0
        self.layout = LayoutTrainer(_layout_config(config, layout), train, palettes, context)
        images = _image_config(config, image, train.labels.shape[1], soft=layout.fake == "soft")
        self.image = ImageTrainer(images, train, validation, context)
        if self.image.generator.style_size:
            raise InvalidInputError("image.generator.name", image.generator.name, "a generator without styles")
        torch.manual_seed(config.seed)
        self.discriminator = context.place(PatchDiscriminator(config.discriminator, 3))
        self.optimiser = context.adam(self.discriminator, image.discriminator_learning_rate, image.betas)

    @property
    def images_seen(self) -> int:
        """Real scenes that the steps so far have taken, over all processes."""
        return self.step_index * self.config.batch_size

    def start_from(self, layout: Mapping[str, Any], image: Mapping[str, Any]) -> None:
        """Take over the networks and averages of the two stages' last states; optimisers start afresh.

        Args:
            layout: `LayoutTrainer.state_dict()`.
            image: `ImageTrainer.state_dict()`.
        """
        for trainer, state in ((self.layout, layout), (self.image, image)):
            own = trainer.state_dict()
            kept = {key: value for key, value in own.items() if "optimiser" in key or key == "step_index"}
            trainer.load_state_dict({**state, **kept})

    def run_step(self) -> dict[str, float | Tensor]:
        """Update both generators, then the three discriminators."""
        metrics = MetricSum()
        numbers = step_generator(self.seed, self.name, self.step_index)
        layout_draw = self.layout.batches.draw(self.step_index)
        image_draws = self.image.batches.draws(self.step_index, numbers)
        loss_draws_BN = self.image.objective.draws(self.config.batch_size, numbers)
        z_BZ = torch.randn(self.config.batch_size, self.image.generator.latent_size, generator=numbers)
        for optimiser in self._optimisers():
            optimiser.zero_grad(set_to_none=True)
        made = []
        for shard in self.context.shards(self.config.batch_size):
            scenes = self.image.batches.scenes(image_draws, shard.rows)
            of_real_B3HW = self._translate_real(shard, scenes, image_draws.z_BZ, metrics)
            images: list[Tensor] = []
            feedback = functools.partial(self._feedback, z_BZ=z_BZ, images=images, metrics=metrics)
            layouts = self.layout.generate(layout_draw, shard, metrics, feedback)
            made.append(_Made(layouts, scenes, of_real_B3HW, *images))
        self.layout.update_generator()
        self._update(self.image.generator_optimiser, self.image.generator)
        for part in made:
            self.layout.judge(layout_draw, part.layouts, metrics)
            self._judge_images(part, loss_draws_BN, metrics)
        self.layout.update_discriminator()
        self._update(self.image.discriminator_optimiser, self.image.objective.discriminator)
        self._update(self.optimiser, self.discriminator)
        self._advance()
        return metrics.values

    def _translate_real(self, shard: Shard, scenes: SceneBatch, z_BZ: Tensor, metrics: MetricSum) -> Tensor:
        """Images of real layouts; leaves the image generator's gradients of its own objective."""
        with self.context.autocast(self.config.autocast):
            image_B3HW = self.image.generator.from_layout(scenes.layout_BKHW, self._code(z_BZ, shard))
        loss, terms = self.image.objective.generator_loss(scenes, image_B3HW)
        (loss * shard.weight).backward()  # type: ignore[no-untyped-call]
        metrics.add(shard.weight, **terms)
        return image_B3HW.detach()

    def _feedback(
        self, shard: Shard, layout_BKHW: Tensor, z_BZ: Tensor, images: list[Tensor], metrics: MetricSum
    ) -> Tensor:
        """The gradient that the look of its images sends to a generated layout; leaves the image generator's too.

        The images are appended to `images`.
        """
        leaf_BKHW = layout_BKHW.detach().requires_grad_(True)
        with frozen(self.discriminator), self.context.autocast(self.config.autocast):
            image_B3HW = self.image.generator.from_layout(leaf_BKHW, self._code(z_BZ, shard))
            scores = [features[-1] for features in self.discriminator(image_B3HW)]
        loss = hinge.generator_loss(scores)
        (loss * (shard.weight * self.config.feedback_weight)).backward()  # type: ignore[no-untyped-call]
        images.append(image_B3HW.detach())
        metrics.add(shard.weight, feedback=loss)
        assert leaf_BKHW.grad is not None
        return leaf_BKHW.grad

    def _judge_images(self, made: _Made, loss_draws_BN: Tensor, metrics: MetricSum) -> None:
        """Leave the gradients of the two image discriminators."""
        shard = made.layouts.shard
        rows_BN = loss_draws_BN[shard.rows].to(self.context.device)
        loss, terms = self.image.objective.discriminator_loss(made.scenes, made.of_real_B3HW, rows_BN)
        (loss * shard.weight).backward()  # type: ignore[no-untyped-call]
        with self.context.autocast(self.config.autocast):
            real = [features[-1] for features in self.discriminator(made.scenes.image_B3HW)]
            fake = [features[-1] for features in self.discriminator(made.of_generated_B3HW)]
        unconditional = hinge.discriminator_loss(real, fake)
        (unconditional * (shard.weight * self.config.feedback_weight)).backward()  # type: ignore[no-untyped-call]
        metrics.add(shard.weight, d_feedback=unconditional, **terms)

    def _code(self, z_BZ: Tensor, shard: Shard) -> Tensor:
        return z_BZ[shard.rows].to(self.context.device)

    def _update(self, optimiser: torch.optim.Optimizer, network: torch.nn.Module) -> None:
        self.context.sum_gradients(network.parameters())
        optimiser.step()

    def _advance(self) -> None:
        self.layout.average.update(self.layout.generator, self.step_index)
        self.image.average.update(self.image.generator, self.step_index)
        self.step_index += 1
        self.layout.step_index = self.image.step_index = self.step_index

    def _optimisers(self) -> tuple[torch.optim.Optimizer, ...]:
        image = self.image
        return (*self.layout.optimisers, image.generator_optimiser, image.discriminator_optimiser, self.optimiser)

    def state_dict(self) -> dict[str, Any]:
        """The states of both trainers, the unconditional discriminator and the step."""
        return {
            "layout": self.layout.state_dict(),
            "image": self.image.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step_index": self.step_index,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`'s result."""
        self.layout.load_state_dict(state["layout"])
        self.image.load_state_dict(state["image"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step_index = int(state["step_index"])

    def sample_sheet(self) -> NDArray[np.uint8]:
        """The layout stage's sheet over the image stage's, at the left edge."""
        sheets = [self.layout.sample_sheet(), self.image.sample_sheet()]
        width = max(sheet.shape[1] for sheet in sheets)
        padded = [np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0))) for sheet in sheets]
        return np.concatenate(padded, axis=0)

    def export_states(self) -> dict[str, dict[str, Any]]:
        """Both generators, as kinds `layout` and `image`."""
        return self.layout.export_states() | self.image.export_states()


def _layout_config(config: EndToEndTrainConfig, layout: LayoutTrainConfig) -> LayoutTrainConfig:
    """The layout section, at its last level and the fine-tuning's rate."""
    last = layout.phases[-1]
    phase = Phase(
        level=last.level,
        stable_steps=config.steps,
        batch_size=config.batch_size,
        conditional_weight=last.conditional_weight,
    )
    return dataclasses.replace(
        layout,
        phases=(phase,),
        learning_rate=config.layout_learning_rate,
        autocast=config.autocast,
        seed=config.seed,
    )


def _image_config(config: EndToEndTrainConfig, image: ImageTrainConfig, height: int, *, soft: bool) -> ImageTrainConfig:
    """The image section, on full-size layouts as soft or hard as generated ones are seen, at a constant rate."""
    phase = ImagePhase(height=height, steps=config.steps, batch_size=config.batch_size)
    return dataclasses.replace(
        image,
        phases=(phase,),
        layouts="soft" if soft else "hard",
        cool_down=0.0,
        autocast=config.autocast,
        seed=config.seed,
    )
