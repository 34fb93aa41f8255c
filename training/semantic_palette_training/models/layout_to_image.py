"""What all image generators have in common: a layout and a code go in, an image comes out.

Legend: B batch, K classes, H and W pixels, Z latent size, S style size.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.models.spade import one_hot
from semantic_palette_training.scene_shape import SceneShape


class LayoutToImage(nn.Module, ABC):
    """An image generator for scenes of one shape.

    What an image shows beside its layout is decided by a code alone, never by random numbers of the network's own:

    - a generator with a latent (`latent_size` above 0) takes z float32 [B, Z], standard normal;
    - a styled one (`style_size` above 0) takes styles float32 [B, K, S], one vector a class;
    - the others take float32 [B, 0].
    """

    grows: ClassVar[bool] = False
    """Whether it also makes images of its size halved a number of times, so that training can start small."""

    def __init__(self, shape: SceneShape) -> None:
        super().__init__()
        self.shape = shape
        self.latent_size = 0
        self.style_size = 0

    @property
    def code_shape(self) -> tuple[int, ...]:
        """Sizes of one sample's code."""
        return (self.shape.num_classes, self.style_size) if self.style_size else (self.latent_size,)

    def forward(self, labels_BHW: Tensor, code: Tensor) -> Tensor:
        """Images float32 [B, 3, H, W], in evaluation mode within [-1, 1].

        Args:
            labels_BHW: class ids, uint8 or int64; H and W are those of `shape` (or smaller, see `grows`).
            code: see the class.

        Raises:
            InvalidInputError: the labels have a size that the generator does not make.
        """
        return self.from_layout(one_hot(labels_BHW, self.shape.num_classes), code)

    @abstractmethod
    def from_layout(self, layout_BKHW: Tensor, code: Tensor) -> Tensor:
        """The same for a soft layout: float32 [B, K, H, W], shares that sum to 1 at every pixel."""

    def check_size(self, layout_BKHW: Tensor) -> None:
        """Raise an InvalidInputError when the layout has another size than `shape`."""
        height, width = layout_BKHW.shape[2:]
        if (height, width) != (self.shape.height, self.shape.width):
            raise InvalidInputError("labels", (height, width), f"{self.shape.height}x{self.shape.width} is expected")
