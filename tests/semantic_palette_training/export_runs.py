"""Run folders as training leaves them, with small untrained networks, for the export tests."""

import dataclasses
import json
from pathlib import Path

import torch
import yaml
from torch import nn

from semantic_palette_training.config import to_plain
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.streets import StreetsData
from semantic_palette_training.models.image_generator import ImageGenerator, ImageGeneratorConfig
from semantic_palette_training.models.progressive import LayoutGenerator, LayoutGeneratorConfig
from semantic_palette_training.palette_fit import PaletteFitConfig, fit_palette_model
from semantic_palette_training.trainers.checkpoint import save_tensors

HEIGHT, WIDTH, NUM_CLASSES = 16, 32, 12


def layout_generator() -> LayoutGenerator:
    """Makes 16x32 layouts of 12 classes."""
    torch.manual_seed(0)
    return _stirred(LayoutGenerator(LayoutGeneratorConfig(num_classes=NUM_CLASSES, latent_size=8, widths=(12, 12, 8))))


def image_generator(norm: str = "class_adaptive") -> ImageGenerator:
    """Makes 16x32 images."""
    torch.manual_seed(0)
    config = ImageGeneratorConfig(
        num_classes=NUM_CLASSES, height=HEIGHT, width=WIDTH, latent_size=4, widths=(12, 8), norm=norm, spade_hidden=6
    )
    return _stirred(ImageGenerator(config))


def _stirred(network):
    """Make what training starts from zero or one take part, so that leaving it out would show."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval().requires_grad_(False)


def write_run(directory: Path) -> Path:
    """A run folder on 24 procedural scenes."""
    data = StreetsData(height=HEIGHT, width=WIDTH, count=24)
    scenes = load_scenes(data, "train")
    fit_palette_model(scenes.palettes(), PaletteFitConfig(max_components=1)).save(directory / "palette")
    (directory / "data.json").write_text(json.dumps({"train_digest": scenes.digest()}))
    recipe = {"description": "Untrained networks.", "data": to_plain(dataclasses.replace(data, root="/home/someone"))}
    (directory / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    for stage, network in (("layout", layout_generator()), ("image", image_generator())):
        (directory / stage).mkdir()
        state = {
            "model_config": to_plain(network.config),
            "weights": network.state_dict(),
            "label_space": scenes.label_space.to_json(),
            "height": HEIGHT,
            "width": WIDTH,
            "step": 3,
            "total_steps": 3,
        }
        save_tensors(state, directory / stage / "model.pt")
    return directory
