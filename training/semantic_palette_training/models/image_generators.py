"""The image generators by name."""

from semantic_palette_training.models.gaugan import GauganConfig, GauganGenerator
from semantic_palette_training.models.layout_to_image import LayoutToImage
from semantic_palette_training.models.pix2pixhd import Pix2PixHDConfig, Pix2PixHDGenerator
from semantic_palette_training.models.pyramid import PyramidConfig, PyramidGenerator
from semantic_palette_training.models.sean import SeanConfig, SeanGenerator
from semantic_palette_training.scene_shape import SceneShape

ImageGeneratorConfig = PyramidConfig | GauganConfig | Pix2PixHDConfig | SeanConfig
"""`pyramid` is ours and the default; `gaugan` is the paper's, `pix2pixhd` that of its baseline PGAN-CGAN, `sean` that
of its face editing."""


def build_image_generator(config: ImageGeneratorConfig, shape: SceneShape) -> LayoutToImage:
    """The generator of a config, for scenes of a shape.

    Raises:
        InvalidInputError: the config does not fit the size.
    """
    match config:
        case PyramidConfig():
            return PyramidGenerator(config, shape)
        case GauganConfig():
            return GauganGenerator(config, shape)
        case Pix2PixHDConfig():
            return Pix2PixHDGenerator(config, shape)
        case SeanConfig():
            return SeanGenerator(config, shape)
