"""Trains the image generator against a segmentation discriminator (OASIS), from small images to full-size ones.

Legend: B batch, N scenes, K classes, H and W pixels, Z latent size.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from semantic_palette.errors import InvalidInputError
from semantic_palette.layout import colourise
from semantic_palette_training.config import to_plain
from semantic_palette_training.data.batches import batch_indices
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.losses.segmentation import (
    class_weights,
    colour_anchor_loss,
    fake_loss,
    label_mix_loss,
    label_mix_mask,
    mix,
    real_loss,
)
from semantic_palette_training.models.image_generator import ImageGenerator, ImageGeneratorConfig
from semantic_palette_training.models.segmentation_discriminator import (
    SegmentationDiscriminator,
    SegmentationDiscriminatorConfig,
)
from semantic_palette_training.models.spade import NormName
from semantic_palette_training.trainers.appearance import appearance_codes
from semantic_palette_training.trainers.ema import ExponentialAverage

SHEET_ROWS = 6
CALIBRATION_BATCHES = 64


@dataclass(kw_only=True, slots=True)
class ImagePhase:
    """Steps at one resolution."""

    height: int
    """Rows of the images, in pixels: the full height, or that halved a number of times."""
    steps: int
    """Updates of generator and discriminator."""
    batch_size: int
    """Scenes an update."""


@dataclass(kw_only=True, slots=True)
class ImageTrainConfig:
    """Everything that decides how an image generator is trained."""

    phases: tuple[ImagePhase, ...]
    """Resolutions in the order they are trained; the last must be the full one."""
    latent_size: int = 16
    """Components of the generator's latent vector."""
    appearance_size: int = 6
    """How many of them carry the scene's light in training (0 to 6, see trainers/appearance.py)."""
    widths: tuple[int, ...] = (128, 128, 128, 80, 48, 16)
    """Channels of the generator's levels, coarsest first."""
    norm: NormName = "class_adaptive"
    """The generator's layout-modulated normalisation."""
    spade_hidden: int = 64
    """Hidden channels of a SPADE modulation; only read where `norm` is `spade`."""
    discriminator_widths: tuple[int, ...] = (32, 64, 96, 128)
    """Channels of the discriminator's levels, finest first."""
    learning_rate: float = 5e-4
    """Adam's, of the generator."""
    discriminator_learning_rate: float = 5e-4
    """Adam's, of the discriminator."""
    cool_down: float = 0.25
    """Share of all steps, at the end, over which both learning rates fall linearly to zero."""
    label_mix_weight: float = 5.0
    """Weight of the LabelMix consistency in the discriminator's loss."""
    anchor_weight: float = 5.0
    """Weight of the colour anchor in the generator's loss; 0 is plain OASIS."""
    anchor_scales: tuple[int, ...] = (2, 8)
    """Block sizes, in pixels, at which the colour anchor compares images."""
    max_shift: int = 8
    """Scenes are moved sideways by up to this many full-size pixels, mirrored at the border; and flipped by chance."""
    average_decay: float = 0.998
    """Decay a step of the averaged generator, the one that is exported."""
    autocast: bool = False
    """Run the networks in bfloat16; losses, averages and optimisers stay float32. Halves the time on CPUs with
    AVX512_BF16 and is slow on those without."""
    seed: int = 0
    """Seed of initialisation, latents, augmentation and batches."""


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """Scenes of one update: labels uint8 [B, H, W], images float32 [B, 3, H, W] in [-1, 1], latents float32 [B, Z]."""

    labels: Tensor
    images: Tensor
    latents: Tensor


class ImageTrainer:
    """The image stage: one run of `run_step` updates the discriminator, then the generator, on one batch.

    One generator pass serves both updates. Randomness comes from torch's global generator, except for the choice of
    scenes, which `batch_indices` keys by the step.

    Args:
        config: how to train.
        train: scenes to learn from.
        validation: scenes whose layouts the sample sheet shows.

    Raises:
        InvalidInputError: a phase's height does not fit the scenes, the last is not the full one, or a value is out of
            its range.
    """

    name = "image"

    def __init__(self, config: ImageTrainConfig, train: Scenes, validation: Scenes) -> None:
        _check_phases(config.phases, train.labels.shape[1])
        _check_ranges(config, train.labels.shape[2])
        self.config = config
        self.seed = config.seed
        torch.manual_seed(config.seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.validation = validation
        self.label_space = train.label_space
        self.step_index = 0
        self.total_steps = sum(phase.steps for phase in config.phases)
        self._labels_NHW = torch.from_numpy(train.labels).to(self.device)
        self._images_NHW3 = torch.from_numpy(train.images).to(self.device)
        self._codes_NA = torch.from_numpy(appearance_codes(train, config.appearance_size)).to(self.device)
        frequencies_K = torch.from_numpy(train.palettes().mean(axis=0)).float()
        self._weights_K = class_weights(frequencies_K).to(self.device)
        self._build(train)

    def _build(self, train: Scenes) -> None:
        config, (height, width) = self.config, train.labels.shape[1:]
        self.generator_config, discriminator_config = image_model_configs(
            config, train.label_space.num_classes, height, width
        )
        self.generator = self._place(ImageGenerator(self.generator_config))
        self.discriminator = self._place(SegmentationDiscriminator(discriminator_config))
        self.average = ExponentialAverage(self.generator, config.average_decay)
        betas = (0.0, 0.99)
        self.generator_optimiser = torch.optim.Adam(self.generator.parameters(), config.learning_rate, betas)
        self.discriminator_optimiser = torch.optim.Adam(
            self.discriminator.parameters(), config.discriminator_learning_rate, betas
        )

    def _place(self, network: nn.Module) -> nn.Module:
        # Channels-last convolutions took 0.4 to 0.9 of the time on a Zen 4 core, the least where channels are few.
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def run_step(self) -> dict[str, float | Tensor]:
        """Update discriminator and generator once; returns their losses."""
        self.set_learning_rates()
        batch = self.batch(self.step_index)
        with self._autocast():
            fake_B3HW = self.generator(batch.labels, batch.latents)
        metrics = self._update_discriminator(batch, fake_B3HW.detach()) | self._update_generator(batch, fake_B3HW)
        self.average.update(self.generator, self.step_index)
        self.step_index += 1
        return metrics

    def _update_discriminator(self, batch: ImageBatch, fake_B3HW: Tensor) -> dict[str, float | Tensor]:
        mask_B1HW = label_mix_mask(batch.labels, self.label_space.num_classes)
        mixed_B3HW = mix(mask_B1HW, batch.images, fake_B3HW)
        with self._autocast():
            logits = self.discriminator(torch.cat([batch.images, fake_B3HW, mixed_B3HW]))
        on_real, on_fake, on_mixed = logits.float().chunk(3)
        real = real_loss(on_real, batch.labels, self._weights_K)
        fake = fake_loss(on_fake)
        consistency = label_mix_loss(mix(mask_B1HW, on_real, on_fake), on_mixed)
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        (real + fake + self.config.label_mix_weight * consistency).backward()  # type: ignore[no-untyped-call]
        self.discriminator_optimiser.step()
        return {"d_real": real.detach(), "d_fake": fake.detach(), "label_mix": consistency.detach()}

    def _update_generator(self, batch: ImageBatch, fake_B3HW: Tensor) -> dict[str, float | Tensor]:
        self.discriminator.requires_grad_(False)
        with self._autocast():
            logits = self.discriminator(fake_B3HW)
        self.discriminator.requires_grad_(True)
        adversarial = real_loss(logits, batch.labels, self._weights_K)
        anchor = colour_anchor_loss(fake_B3HW, batch.images, self.config.anchor_scales)
        self.generator_optimiser.zero_grad(set_to_none=True)
        (adversarial + self.config.anchor_weight * anchor).backward()  # type: ignore[no-untyped-call]
        self.generator_optimiser.step()
        return {"g_adversarial": adversarial.detach(), "g_anchor": anchor.detach()}

    def set_learning_rates(self) -> None:
        """Set both optimisers' rates to those of the next step, a function of the step alone."""
        remaining = 1.0 - self.step_index / self.total_steps
        scale = min(1.0, remaining / self.config.cool_down) if self.config.cool_down > 0 else 1.0
        for group in self.generator_optimiser.param_groups:
            group["lr"] = self.config.learning_rate * scale
        for group in self.discriminator_optimiser.param_groups:
            group["lr"] = self.config.discriminator_learning_rate * scale

    def _phase(self, step: int) -> ImagePhase:
        """The phase that holds a step."""
        first = 0
        for phase in self.config.phases:
            first += phase.steps
            if step < first:
                return phase
        return self.config.phases[-1]

    def batch(self, step: int) -> ImageBatch:
        """The scenes of a step, moved, mirrored and shrunk to the phase's resolution, with their latents."""
        phase = self._phase(step)
        indices = torch.from_numpy(batch_indices(self.config.seed, len(self._labels_NHW), phase.batch_size, step)).to(
            self.device
        )
        columns_BW = self._columns(phase.batch_size)
        rows_B = torch.arange(phase.batch_size, device=self.device)[:, None]
        # Advanced indexing puts the picked axes first: [B, W, H], so H and W are swapped back.
        labels_BHW = self._labels_NHW[indices].transpose(1, 2)[rows_B, columns_BW].transpose(1, 2)
        images_BHW3 = self._images_NHW3[indices].transpose(1, 2)[rows_B, columns_BW].transpose(1, 2)
        images_B3HW = images_BHW3.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        factor = labels_BHW.shape[1] // phase.height
        latents_BZ = torch.randn(phase.batch_size, self.config.latent_size, device=self.device)
        latents_BZ[:, : self.config.appearance_size] = self._codes_NA[indices]
        return ImageBatch(
            labels_BHW[:, factor // 2 :: factor, factor // 2 :: factor].contiguous(),
            functional.avg_pool2d(images_B3HW, factor).contiguous(memory_format=torch.channels_last),
            latents_BZ,
        )

    def _columns(self, batch_size: int) -> Tensor:
        """For every sample the source of each column: shifted sideways, mirrored at the border, perhaps flipped."""
        width, limit = self._labels_NHW.shape[2], self.config.max_shift
        shifts_B1 = torch.randint(-limit, limit + 1, (batch_size, 1), device=self.device)
        columns_BW = (torch.arange(width, device=self.device) + shifts_B1).abs()
        columns_BW = torch.where(columns_BW >= width, 2 * width - 2 - columns_BW, columns_BW)
        flips_B1 = torch.randint(0, 2, (batch_size, 1), device=self.device).bool()
        return torch.where(flips_B1, columns_BW.flip(1), columns_BW)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.config.autocast)

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
            "discriminator": self.discriminator,
            "average": self.average.average,
            "generator_optimiser": self.generator_optimiser,
            "discriminator_optimiser": self.discriminator_optimiser,
        }

    @torch.no_grad()
    def sample_sheet(self) -> NDArray[np.uint8]:
        """Rows of validation scenes: the layout in colours, two images made from it, the real image."""
        picked = np.linspace(0, len(self.validation) - 1, SHEET_ROWS).astype(int)
        labels = self.validation.labels[picked]
        draw = torch.Generator().manual_seed(0)
        made = []
        for _ in range(2):
            z_BZ = torch.randn(len(picked), self.config.latent_size, generator=draw).to(self.device)
            image_B3HW = self.average.average(torch.from_numpy(labels).to(self.device), z_BZ)
            made.append(((image_B3HW + 1.0) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())
        columns = [colourise(labels, self.label_space), *made, self.validation.images[picked]]
        rows = np.concatenate(columns, axis=2)
        return np.ascontiguousarray(rows.reshape(-1, *rows.shape[2:]))

    def calibrated_average(self) -> nn.Module:
        """A copy of the averaged generator with the batch statistics of its own features, in evaluation mode.

        The average follows the trained network's running statistics, which are those of other weights than its own.
        Measured here over full-size batches that follow the last step; torch's global generator is left alone.
        """
        network = copy.deepcopy(self.average.average).train()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # A plain mean over the batches.
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices):
            torch.manual_seed(self.seed)
            for step in range(self.total_steps, self.total_steps + CALIBRATION_BATCHES):
                batch = self.batch(step)
                network(batch.labels, batch.latents)
        return network.eval()

    def export_state(self) -> dict[str, Any]:
        """The averaged generator and what describes it; calibrated once training is finished."""
        finished = self.step_index >= self.total_steps
        network = self.calibrated_average() if finished else self.average.average
        return {
            "model_config": to_plain(self.generator_config),
            "weights": network.state_dict(),
            "label_space": self.label_space.to_json(),
            "height": self.generator_config.height,
            "width": self.generator_config.width,
            "step": self.step_index,
            "total_steps": self.total_steps,
        }


def image_model_configs(
    config: ImageTrainConfig, num_classes: int, height: int, width: int
) -> tuple[ImageGeneratorConfig, SegmentationDiscriminatorConfig]:
    """The networks that `config` trains."""
    generator = ImageGeneratorConfig(
        num_classes=num_classes,
        height=height,
        width=width,
        latent_size=config.latent_size,
        widths=config.widths,
        norm=config.norm,
        spade_hidden=config.spade_hidden,
    )
    return generator, SegmentationDiscriminatorConfig(num_classes=num_classes, widths=config.discriminator_widths)


def _check_phases(phases: tuple[ImagePhase, ...], full_height: int) -> None:
    if not phases or phases[-1].height != full_height:
        raise InvalidInputError("image.phases", to_plain(phases), f"the last phase must have height {full_height}")
    for index, phase in enumerate(phases):
        for field in ("height", "steps", "batch_size"):
            if getattr(phase, field) < 1:
                raise InvalidInputError(f"image.phases[{index}].{field}", getattr(phase, field), "at least 1")
        factor, rest = divmod(full_height, phase.height)
        if rest or factor & (factor - 1):
            raise InvalidInputError(
                f"image.phases[{index}].height", phase.height, f"{full_height}, or that halved a number of times"
            )


def _check_ranges(config: ImageTrainConfig, full_width: int) -> None:
    ranges = {
        "appearance_size": (0, config.latent_size),
        "max_shift": (0, full_width - 1),
        "cool_down": (0, 1),
        "average_decay": (0, 1),
    }
    for field, (lowest, highest) in ranges.items():
        value = getattr(config, field)
        if not lowest <= value <= highest:
            raise InvalidInputError(f"image.{field}", value, f"{lowest} to {highest}")
