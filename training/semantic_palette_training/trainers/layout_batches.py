"""What a step of the layout stage trains on: noise, palettes and real layouts, a pure function of seed and step.

Shape suffixes: B batch, Z latent, K classes, H and W pixels, P palettes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.batches import batch_indices
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.data.soften import one_hot, soften
from semantic_palette_training.losses.gumbel import gumbel_noise, gumbel_softmax
from semantic_palette_training.trainers.context import Shard, TrainContext
from semantic_palette_training.trainers.layout_config import LayoutTrainConfig
from semantic_palette_training.trainers.palette_pool import palette_pool
from semantic_palette_training.trainers.phases import position
from semantic_palette_training.trainers.randomness import step_generator
from semantic_palette_training.trainers.scene_store import SceneStore


@dataclass(frozen=True, slots=True)
class StepDraw:
    """The random choices of one step, for the global batch; on the CPU."""

    step: int
    z_BZ: Tensor
    palette_B: Tensor
    """Which palettes of the pool."""
    real_B: Tensor
    """Which scenes."""
    mirrored_B: Tensor
    """Which of them are mirrored."""
    mix_B: Tensor
    """Where between real and fake the gradient penalty is taken."""


class LayoutBatches:
    """Draws steps and makes their tensors on the device.

    Args:
        config: how to train.
        scenes: real layouts at the last level's resolution.
        palettes: what `palette_source: model` draws from.
        context: the device.
    """

    def __init__(
        self, config: LayoutTrainConfig, scenes: Scenes, palettes: PaletteModel, context: TrainContext
    ) -> None:
        self._config = config
        self._store = SceneStore(scenes, context.device, images=False)
        self._num_classes = scenes.label_space.num_classes
        self.palettes_PK = palette_pool(config.palette_source, config.seed, scenes, palettes, context.device)
        self._device = context.device

    def draw(self, step: int) -> StepDraw:
        """The random choices of a step."""
        config = self._config
        batch = position(config.phases, step)[0].batch_size
        generator = step_generator(config.seed, "layout", step)
        return StepDraw(
            step=step,
            z_BZ=torch.randn(batch, config.generator.latent_size, generator=generator),
            palette_B=torch.randint(len(self.palettes_PK), (batch,), generator=generator),
            real_B=torch.from_numpy(batch_indices(config.seed, len(self._store), batch, step)),
            mirrored_B=torch.rand(batch, generator=generator) < 0.5,
            mix_B=torch.rand(batch, generator=generator),
        )

    def latents(self, draw: StepDraw, shard: Shard) -> Tensor:
        """Noise z of the shard, float32 [B, Z]."""
        return self._placed(draw.z_BZ[shard.rows])

    def palettes(self, draw: StepDraw, shard: Shard) -> Tensor:
        """Palettes that the shard's layouts are asked to have, float32 [B, K]."""
        return self.palettes_PK[self._placed(draw.palette_B[shard.rows])]

    def mix(self, draw: StepDraw, shard: Shard) -> Tensor:
        """The shard's part of `StepDraw.mix_B` on the device."""
        return self._placed(draw.mix_B[shard.rows])

    def real(self, draw: StepDraw, shard: Shard, level: int) -> Tensor:
        """Real layouts of the shard at a level, softened or one-hot, float32 [B, K, H, W], channels last."""
        stride = 2 ** (self._config.generator.num_levels - 1 - level)
        labels_BHW = self._store.labels(draw.real_B[shard.rows], stride)
        mirrored_B = self._placed(draw.mirrored_B[shard.rows])
        labels_BHW = torch.where(mirrored_B[:, None, None], labels_BHW.flip(2), labels_BHW)
        if self._config.real == "hard":
            layout_BKHW = one_hot(labels_BHW, self._num_classes)
        else:
            layout_BKHW = soften(labels_BHW, self._num_classes, self._config.sigma(level), self._config.soften_keep)
        return layout_BKHW.contiguous(memory_format=torch.channels_last)

    def fake(self, draw: StepDraw, shard: Shard, soft_BKHW: Tensor) -> Tensor:
        """Generated layouts as the discriminator sees them: soft, or drawn from by Gumbel-softmax."""
        if self._config.fake == "soft":
            return soft_BKHW
        generator = step_generator(self._config.seed, "layout gumbel", draw.step, shard.rows.start)
        noise_BKHW = self._placed(gumbel_noise(tuple(soft_BKHW.shape), generator))
        return gumbel_softmax(soft_BKHW, noise_BKHW, self._config.gumbel_temperature)

    def _placed(self, x: Tensor) -> Tensor:
        return x.to(self._device, non_blocking=True)
