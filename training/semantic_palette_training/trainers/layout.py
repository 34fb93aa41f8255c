"""Trains the layout generator: progressive levels, WGAN-GP and the conditional objective (sections 3.1 and 3.2)."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semantic_palette.errors import InvalidInputError
from semantic_palette.layout import colourise
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.config import require_at_least
from semantic_palette_training.data.batches import batch_indices
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.data.soften import soften
from semantic_palette_training.losses.conditional import conditional_losses
from semantic_palette_training.losses.wgan import critic_loss, generator_loss, gradient_penalty
from semantic_palette_training.models.progressive import LayoutDiscriminator, LayoutGenerator, LayoutGeneratorConfig
from semantic_palette_training.models.saa import SaaOutput
from semantic_palette_training.trainers.ema import ExponentialAverage

_PALETTE_POOL = 16384


@dataclass(kw_only=True, slots=True)
class LayoutPhase:
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


@dataclass(kw_only=True, slots=True)
class LayoutTrainConfig:
    """How the layout generator is trained."""

    phases: tuple[LayoutPhase, ...]
    """Levels in ascending order; the last trains the level that is exported."""
    latent_size: int = 64
    """Length of the noise vector."""
    widths: tuple[int, ...] = (128, 128, 96, 64, 32, 16)
    """Channels of each level of generator and discriminator."""
    fusion: bool = True
    """Residual conditional fusion."""
    fusion_kernel: int = 1
    """Kernel side of the fusion convolution."""
    scores: Literal["independent", "skip"] = "independent"
    """How a level's scores build on the level below; see `LayoutGeneratorConfig`."""
    batch_deviation: bool = False
    """Give the discriminator the deviation over the batch; see `LayoutGeneratorConfig`."""
    learning_rate: float = 1e-3
    """Adam's, for both networks."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's."""
    penalty_weight: float = 10.0
    """Weight of the gradient penalty."""
    penalty_every: int = 1
    """Steps between gradient penalties; its weight is scaled by as much (the paper: 1)."""
    soften_sigma: float = 1.0
    """Blur of real layouts in pixels at the last level; scaled with the resolution, at least 0.5."""
    soften_keep: float = 0.5
    """Weight of the one-hot layout in a softened one."""
    average_decay: float = 0.999
    """Decay of the weight average."""
    autocast: bool = False
    """Run the networks in bfloat16; activations, losses and penalties stay float32."""
    seed: int = 0
    """Seed of initialisation, noise, palettes and batches."""
    resolution: tuple[int, int] = field(default=(4, 8))
    """Height and width of level 0 in pixels."""


class LayoutTrainer:
    """The layout stage. One step updates the generator, then the discriminator on the same detached layouts."""

    name = "layout"

    def __init__(self, config: LayoutTrainConfig, scenes: Scenes, palettes: PaletteModel) -> None:
        """Build the networks and put the data on the device.

        Args:
            config: how to train.
            scenes: real layouts at the last level's resolution.
            palettes: palettes for generated layouts are drawn from it.

        Raises:
            InvalidInputError: phases and data do not fit the configured levels.
        """
        self.config = config
        self.seed = config.seed
        self.label_space = scenes.label_space
        torch.manual_seed(config.seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = self.model_config = layout_model_config(config, scenes.label_space.num_classes)
        _check_config(config, model, scenes)
        self.generator = self._place(LayoutGenerator(model))
        self.discriminator = self._place(LayoutDiscriminator(model))
        self.average = ExponentialAverage(self.generator, config.average_decay)
        self.optimisers = [
            torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=config.betas)
            for network in (self.generator, self.discriminator)
        ]
        self.layouts = _layout_pyramid(scenes.labels, model, self.device)
        draws = palettes.sample(config.seed, 0, _PALETTE_POOL)
        self.palettes = torch.from_numpy(draws.palettes.astype(np.float32)).to(self.device)
        self.total_steps = sum(phase.fade_steps + phase.stable_steps for phase in config.phases)
        self.step_index = 0

    def _place(self, network: Any) -> Any:
        return network.to(self.device, memory_format=torch.channels_last)

    def position(self, step: int) -> tuple[LayoutPhase, float]:
        """The phase of a step and the weight of its level: a function of the step alone."""
        for phase in self.config.phases:
            length = phase.fade_steps + phase.stable_steps
            if step < length:
                return phase, min(1.0, (step + 1) / phase.fade_steps) if phase.fade_steps else 1.0
            step -= length
        return self.config.phases[-1], 1.0

    def run_step(self) -> dict[str, float | Tensor]:
        """One generator update and one discriminator update."""
        phase, fade = self.position(self.step_index)
        outputs, palette_BK, metrics = self._generator_step(phase, fade)
        soft_BKHW = outputs[-1].soft_BKHW.detach()
        metrics |= self._discriminator_step(phase, fade, soft_BKHW)
        metrics["kl"] = _hard_kl(soft_BKHW, palette_BK)
        metrics["level"] = float(phase.level)
        self.average.update(self.generator, self.step_index)
        self.step_index += 1
        return metrics

    def _generator_step(
        self, phase: LayoutPhase, fade: float
    ) -> tuple[list[SaaOutput], Tensor, dict[str, float | Tensor]]:
        z_BZ = torch.randn(phase.batch_size, self.config.latent_size).to(self.device)
        chosen = torch.randint(len(self.palettes), (phase.batch_size,)).to(self.device)
        palette_BK = self.palettes[chosen]
        self.discriminator.requires_grad_(False)
        with self._autocast():
            outputs = self.generator(z_BZ, palette_BK, phase.level, fade)
            adversarial = generator_loss(self.discriminator(outputs[-1].soft_BKHW, phase.level, fade))
        entropy, spread = conditional_losses(outputs)
        loss = adversarial + phase.conditional_weight * (entropy + spread)
        self.optimisers[0].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimisers[0].step()
        self.discriminator.requires_grad_(True)
        metrics: dict[str, float | Tensor] = {
            "adversarial": adversarial.detach(),
            "entropy": entropy.detach(),
            "spread": spread.detach(),
        }
        return outputs, palette_BK, metrics

    def _discriminator_step(self, phase: LayoutPhase, fade: float, fake_BKHW: Tensor) -> dict[str, float | Tensor]:
        real_BKHW = self._real_layouts(phase)
        with self._autocast():
            critic = critic_loss(
                self.discriminator(real_BKHW, phase.level, fade), self.discriminator(fake_BKHW, phase.level, fade)
            )
        loss = critic
        metrics: dict[str, float | Tensor] = {"critic": critic.detach()}
        if self.step_index % self.config.penalty_every == 0:
            with self._autocast():
                penalty = gradient_penalty(lambda x: self.discriminator(x, phase.level, fade), real_BKHW, fake_BKHW)
            loss = loss + self.config.penalty_weight * self.config.penalty_every * penalty
            metrics["penalty"] = penalty.detach()
        self.optimisers[1].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimisers[1].step()
        return metrics

    def _real_layouts(self, phase: LayoutPhase) -> Tensor:
        """A softened batch of real layouts at the phase's level, each mirrored with probability one half."""
        layouts = self.layouts[phase.level]
        chosen = batch_indices(self.config.seed, len(layouts), phase.batch_size, self.step_index)
        labels_BHW = layouts[torch.from_numpy(chosen).to(self.device)]
        mirrored_B = torch.rand(phase.batch_size).to(self.device) < 0.5
        labels_BHW = torch.where(mirrored_B[:, None, None], labels_BHW.flip(2), labels_BHW)
        scale = 2.0 ** (phase.level - self.model_config.num_levels + 1)
        sigma = max(0.5, self.config.soften_sigma * scale)
        soft_BKHW = soften(labels_BHW, self.model_config.num_classes, sigma, self.config.soften_keep)
        return soft_BKHW.contiguous(memory_format=torch.channels_last)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.autocast)

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
        phase, fade = self.position(self.step_index)
        noise = torch.Generator().manual_seed(self.config.seed)
        z_BZ = torch.randn(16, self.config.latent_size, generator=noise).to(self.device)
        output = self.average.average(z_BZ, self.palettes[:16], phase.level, fade)[-1]
        labels = output.log_omega_BKHW.argmax(dim=1).to(torch.uint8).cpu().numpy()
        scale = 2 ** (self.model_config.num_levels - 1 - phase.level)
        tiles = colourise(labels.repeat(scale, axis=1).repeat(scale, axis=2), self.label_space)
        rows = [np.concatenate(list(tiles[i : i + 4]), axis=1) for i in range(0, 16, 4)]
        return np.concatenate(rows, axis=0)

    def export_state(self) -> dict[str, Any]:
        """Averaged weights with the config that rebuilds the network."""
        height, width = self.model_config.resolution(self.model_config.num_levels - 1)
        return {
            "model_config": dataclasses.asdict(self.model_config),
            "weights": self.average.average.state_dict(),
            "label_space": self.label_space.to_json(),
            "height": height,
            "width": width,
            "step": self.step_index,
            "total_steps": self.total_steps,
        }


def layout_model_config(config: LayoutTrainConfig, num_classes: int) -> LayoutGeneratorConfig:
    """The networks that `config` trains."""
    return LayoutGeneratorConfig(
        num_classes=num_classes,
        latent_size=config.latent_size,
        widths=config.widths,
        base_height=config.resolution[0],
        base_width=config.resolution[1],
        fusion=config.fusion,
        fusion_kernel=config.fusion_kernel,
        scores=config.scores,
        batch_deviation=config.batch_deviation,
    )


def _check_config(config: LayoutTrainConfig, model: LayoutGeneratorConfig, scenes: Scenes) -> None:
    for index, phase in enumerate(config.phases):
        require_at_least(f"layout.phases[{index}].fade_steps", phase.fade_steps, 0)
        require_at_least(f"layout.phases[{index}].stable_steps", phase.stable_steps, 0)
        require_at_least(f"layout.phases[{index}].batch_size", phase.batch_size, 1)
    require_at_least("layout.penalty_every", config.penalty_every, 1)
    if not 0.5 <= config.soften_keep <= 1:
        raise InvalidInputError("layout.soften_keep", config.soften_keep, "0.5 to 1")
    if config.resolution[1] % config.resolution[0]:
        raise InvalidInputError("layout.resolution", config.resolution, "a width that is a multiple of the height")
    levels = [phase.level for phase in config.phases]
    if not levels or levels != sorted(levels) or levels[0] < 0 or levels[-1] != model.num_levels - 1:
        raise InvalidInputError("layout.phases", levels, f"ascending levels that end at {model.num_levels - 1}")
    expected = model.resolution(model.num_levels - 1)
    if scenes.labels.shape[1:] != expected:
        raise InvalidInputError("data", scenes.labels.shape[1:], f"layouts of {expected[0]}x{expected[1]} pixels")


def _layout_pyramid(labels_NHW: NDArray[np.uint8], model: LayoutGeneratorConfig, device: torch.device) -> list[Tensor]:
    """The layouts at every level, by nearest neighbour at cell centres; uint8 on the device."""
    labels = torch.from_numpy(labels_NHW).to(device)
    pyramid = []
    for level in range(model.num_levels):
        stride = 2 ** (model.num_levels - 1 - level)
        pyramid.append(labels[:, stride // 2 :: stride, stride // 2 :: stride].contiguous())
    return pyramid


def _hard_kl(soft_BKHW: Tensor, palette_BK: Tensor) -> Tensor:
    """Mean KL divergence of the arg-max layouts' class shares from the palettes, as in the paper's tables."""
    labels = soft_BKHW.argmax(dim=1)
    counts = torch.nn.functional.one_hot(labels, soft_BKHW.shape[1]).float().mean(dim=(1, 2)) + 1e-6
    achieved_BK = counts / counts.sum(dim=1, keepdim=True)
    return (torch.xlogy(palette_BK, palette_BK) - torch.xlogy(palette_BK, achieved_BK)).sum(dim=1).mean()
