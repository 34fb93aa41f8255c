"""What the editor sees in a step: layouts with a part emptied or with something to be added, and their palettes.

Legend: B batch, Z latent, K classes, E = K + 1 classes with the background last, H and W pixels, M palettes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from semantic_palette_training.data.additions import TargetMix, additions_palette, mixed_target
from semantic_palette_training.data.crops import CropName, class_shares, crop_masks, region_palette
from semantic_palette_training.models.editor import empty_region
from semantic_palette_training.models.spade import one_hot


@dataclass(kw_only=True, slots=True)
class EditTask:
    """Which edits the editor learns. `crop` is `none` where it adds to whole layouts, and only then."""

    crop: CropName = "rectangle"
    """What is emptied: a rectangle (the paper), a band of full height (its public code) or none (faces)."""
    crop_sides: tuple[float, float] = (0.25, 1.0)
    """Shares of the frame's height and width between which the crop's are drawn. The paper does not say; its public
    code's bands have 0.5 to 1."""
    target_mix: TargetMix = "none"
    """How targets of additions are moved towards the layout's own palette; `half_soft` and `linear` are options of the
    public code, for small edits."""
    smallest_addition: float = 0.001
    """Additions below this share of the frame become 0, as in the public code."""


@dataclass(frozen=True, slots=True)
class EditDraws:
    """The random numbers of some samples, on the CPU: z is normal, the rest uniform in [0, 1)."""

    z_BZ: Tensor
    crop_B4: Tensor
    target_B: Tensor
    mix_B2: Tensor
    mirror_B: Tensor
    penalty_B: Tensor

    @classmethod
    def of(cls, generator: torch.Generator, batch_size: int, latent_size: int) -> "EditDraws":
        """Draw for a whole global batch."""
        z_BZ = torch.randn(batch_size, latent_size, generator=generator)
        uniform_BU = torch.rand(batch_size, 9, generator=generator)
        crop_B4, mix_B2 = uniform_BU[:, :4], uniform_BU[:, 4:6]
        return cls(z_BZ, crop_B4, uniform_BU[:, 6], mix_B2, uniform_BU[:, 7], uniform_BU[:, 8])

    def of_rows(self, rows: slice) -> "EditDraws":
        """Those of some of the samples."""
        return EditDraws(
            self.z_BZ[rows],
            self.crop_B4[rows],
            self.target_B[rows],
            self.mix_B2[rows],
            self.mirror_B[rows],
            self.penalty_B[rows],
        )


@dataclass(frozen=True, slots=True)
class EditBatch:
    """Samples on the device; float32 but for labels, uint8, and region, bool."""

    labels_BHW: Tensor
    """The real layouts."""
    region_BHW: Tensor
    """What is to be repainted; nothing for additions."""
    layout_BKHW: Tensor
    """What the editor sees of the layouts: one-hot, emptied in the region."""
    palette_BE: Tensor
    """What it is to paint."""
    z_BZ: Tensor
    penalty_B: Tensor
    """Uniform in [0, 1): where between real and edited layouts the gradient penalty is taken."""


def edit_batch(task: EditTask, labels_BHW: Tensor, draws: EditDraws, targets_MK: Tensor) -> EditBatch:
    """The edits of some layouts, each mirrored with probability one half.

    Args:
        task: which edits.
        labels_BHW: class ids uint8, on the device.
        draws: of as many samples.
        targets_MK: palettes to aim at, float32, on the device; only read where nothing is cropped.
    """
    device, num_classes = labels_BHW.device, targets_MK.shape[1]
    mirrored_B = (draws.mirror_B < 0.5).to(device)
    labels_BHW = torch.where(mirrored_B[:, None, None], labels_BHW.flip(2), labels_BHW)
    height, width = labels_BHW.shape[1:]
    region_BHW = crop_masks(task.crop, draws.crop_B4, height, width, task.crop_sides).to(device)
    if task.crop == "none":
        chosen_B = (draws.target_B * len(targets_MK)).long().to(device)
        current_BK = class_shares(labels_BHW.flatten(1), num_classes)
        target_BK = mixed_target(task.target_mix, targets_MK[chosen_B], current_BK, draws.mix_B2.to(device))
        palette_BE = additions_palette(target_BK, current_BK, task.smallest_addition)
    else:
        palette_BE = region_palette(labels_BHW, region_BHW, num_classes)
    layout_BKHW = empty_region(one_hot(labels_BHW, num_classes), region_BHW)
    layout_BKHW = layout_BKHW.contiguous(memory_format=torch.channels_last)
    z_BZ, penalty_B = draws.z_BZ.to(device), draws.penalty_B.to(device)
    return EditBatch(labels_BHW, region_BHW, layout_BKHW, palette_BE, z_BZ, penalty_B)
