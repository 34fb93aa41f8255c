"""Scenes as tensors: resident on the training device where they fit, else on the host, copied a batch at a time.

Legend: N scenes, B batch, H and W pixels.
"""

import torch
from torch import Tensor

from semantic_palette_training.data.scenes import Scenes

#: Share of a GPU's free memory that data may take; the rest is the networks'.
_RESIDENT_SHARE = 0.4


class SceneStore:
    """Label maps and images of a split, uint8 until they are on the device.

    Args:
        scenes: what to hold.
        device: where batches go.
        images: whether images are needed at all.
    """

    def __init__(self, scenes: Scenes, device: torch.device, *, images: bool = True) -> None:
        self.device = device
        self.label_space = scenes.label_space
        size = scenes.labels.nbytes + (scenes.images.nbytes if images else 0)
        home = device if _fits(size, device) else torch.device("cpu")
        self._labels_NHW = torch.from_numpy(scenes.labels).to(home)
        self._images_NHW3 = torch.from_numpy(scenes.images).to(home) if images else None

    def __len__(self) -> int:
        return len(self._labels_NHW)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self._labels_NHW.shape[1]), int(self._labels_NHW.shape[2])

    def labels(self, indices_B: Tensor, stride: int = 1) -> Tensor:
        """Label maps uint8 [B, H / stride, W / stride] on the device, by nearest neighbour at cell centres.

        Args:
            indices_B: which scenes, int64, on the CPU.
            stride: pixels of a scene that one of the result stands for, along each axis.
        """
        shrunk = self._labels_NHW[:, stride // 2 :: stride, stride // 2 :: stride]
        return shrunk[indices_B.to(shrunk.device)].to(self.device, non_blocking=True)

    def images(self, indices_B: Tensor) -> Tensor:
        """Images uint8 [B, H, W, 3] on the device.

        Raises:
            ValueError: the store was made without images.
        """
        if self._images_NHW3 is None:
            raise ValueError("this store was made without images")
        home = self._images_NHW3.device
        return self._images_NHW3[indices_B.to(home)].to(self.device, non_blocking=True)


def _fits(size: int, device: torch.device) -> bool:
    """Whether `size` bytes may live on the device."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return size < free * _RESIDENT_SHARE
