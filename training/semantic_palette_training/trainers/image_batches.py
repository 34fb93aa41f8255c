"""The image stage's batches: scenes moved, mirrored and shrunk, with latents that carry their light.

Legend: B batch, N scenes, K classes, H and W pixels, Z latent size, A appearance code.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from semantic_palette_training.data.batches import batch_indices
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.data.soften import soften
from semantic_palette_training.models.spade import one_hot
from semantic_palette_training.trainers.appearance import appearance_codes
from semantic_palette_training.trainers.image_config import ImagePhase, ImageTrainConfig, appearance_size, phase_of
from semantic_palette_training.trainers.objectives import SceneBatch
from semantic_palette_training.trainers.scene_store import SceneStore


@dataclass(frozen=True, slots=True)
class ImageDraws:
    """Everything random about a step's global batch, on the CPU."""

    phase: ImagePhase
    indices_B: Tensor
    """Which scenes, int64."""
    shifts_B1: Tensor
    """How far each moves sideways, in full-size pixels."""
    flips_B1: Tensor
    """Which are flipped, bool."""
    z_BZ: Tensor
    """Latents, float32."""


class ImageBatches:
    """Draws the batches of a step and cuts them into shards.

    Args:
        config: of the image stage.
        scenes: to draw from.
        latent_size: Z of the generator.
        device: where batches go.
    """

    def __init__(self, config: ImageTrainConfig, scenes: Scenes, latent_size: int, device: torch.device) -> None:
        self.config = config
        self.latent_size = latent_size
        self.store = SceneStore(scenes, device)
        self._codes_NA = torch.from_numpy(appearance_codes(scenes, appearance_size(config, latent_size)))

    def draws(self, step: int, generator: torch.Generator) -> ImageDraws:
        """The random part of a step; also of steps after the last, which go on with its phase."""
        phase, limit = phase_of(self.config.phases, step), self.config.max_shift
        count = phase.batch_size
        indices_B = torch.from_numpy(batch_indices(self.config.seed, len(self.store), count, step))
        shifts_B1 = torch.randint(-limit, limit + 1, (count, 1), generator=generator)
        flips_B1 = torch.randint(0, 2, (count, 1), generator=generator).bool()
        z_BZ = torch.randn(count, self.latent_size, generator=generator)
        codes_BA = self._codes_NA[indices_B]
        z_BZ[:, : codes_BA.shape[1]] = codes_BA
        return ImageDraws(phase, indices_B, shifts_B1, flips_B1, z_BZ)

    def scenes(self, draws: ImageDraws, rows: slice) -> SceneBatch:
        """The scenes of a shard on the device, at the phase's resolution."""
        indices_B, device = draws.indices_B[rows], self.store.device
        columns_BW = self._columns(draws.shifts_B1[rows], draws.flips_B1[rows]).to(device)
        rows_B1 = torch.arange(len(indices_B), device=device)[:, None]
        # Advanced indexing puts the picked axes first: [B, W, H], so H and W are swapped back.
        labels_BHW = self.store.labels(indices_B).transpose(1, 2)[rows_B1, columns_BW].transpose(1, 2)
        images_BHW3 = self.store.images(indices_B).transpose(1, 2)[rows_B1, columns_BW].transpose(1, 2)
        images_B3HW = images_BHW3.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        factor = labels_BHW.shape[1] // draws.phase.height
        labels_BHW = labels_BHW[:, factor // 2 :: factor, factor // 2 :: factor].contiguous()
        return SceneBatch(
            labels_BHW,
            self._layout(labels_BHW, factor),
            functional.avg_pool2d(images_B3HW, factor).contiguous(memory_format=torch.channels_last),
        )

    def _layout(self, labels_BHW: Tensor, factor: int) -> Tensor:
        num_classes = self.store.label_space.num_classes
        if self.config.layouts == "hard":
            return one_hot(labels_BHW, num_classes)
        sigma = max(0.5, self.config.soften_sigma / factor)
        return soften(labels_BHW, num_classes, sigma, self.config.soften_keep)

    def _columns(self, shifts_B1: Tensor, flips_B1: Tensor) -> Tensor:
        """For every sample the source of each column: shifted sideways, mirrored at the border, perhaps flipped."""
        width = self.store.size[1]
        columns_BW = (torch.arange(width) + shifts_B1).abs()
        columns_BW = torch.where(columns_BW >= width, 2 * width - 2 - columns_BW, columns_BW)
        return torch.where(flips_B1, columns_BW.flip(1), columns_BW)
