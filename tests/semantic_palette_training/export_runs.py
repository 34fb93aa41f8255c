"""Run folders as training leaves them, with small untrained networks, for the export tests."""

import hashlib
from pathlib import Path

import torch
import yaml
from torch import nn

from semantic_palette_training.config import to_plain
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.streets import StreetsData
from semantic_palette_training.models.editor import EditorConfig, LayoutEditor
from semantic_palette_training.models.gaugan import GauganConfig
from semantic_palette_training.models.image_generators import build_image_generator
from semantic_palette_training.models.pix2pixhd import Pix2PixHDConfig
from semantic_palette_training.models.progressive import LayoutGenerator, ProgressiveConfig
from semantic_palette_training.models.pyramid import PyramidConfig
from semantic_palette_training.models.sean import SeanConfig
from semantic_palette_training.palette_fit import PaletteFitConfig, fit_palette_model
from semantic_palette_training.run_manifest import RECIPE_FILE, RUN_FILE
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.checkpoint import save_tensors
from semantic_palette_training.trainers.stage_record import RECORD_FILE, write_json

HEIGHT, WIDTH, NUM_CLASSES = 16, 32, 12
SHAPE = SceneShape(NUM_CLASSES, HEIGHT, WIDTH)
DATA = StreetsData(height=HEIGHT, width=WIDTH, count=24)

IMAGE_CONFIGS = {
    "pyramid": PyramidConfig(latent_size=4, widths=(12, 8), spade_hidden=6),
    "spade pyramid": PyramidConfig(latent_size=4, widths=(12, 8), norm="spade", spade_hidden=6),
    "gaugan": GauganConfig(width=2, hidden=6),
    "pix2pixhd": Pix2PixHDConfig(width=4, halvings=2, blocks=1),
    "sean": SeanConfig(width=2, hidden=6, style_size=5, encoder_width=4),
}


def layout_generator(conditioning: str = "saa", **options) -> LayoutGenerator:
    """Makes 16x32 layouts of 12 classes."""
    torch.manual_seed(0)
    config = ProgressiveConfig(
        latent_size=8, widths=(12, 8), base_height=8, base_width=16, conditioning=conditioning, **options
    )
    return _stirred(LayoutGenerator(config, SHAPE))


def editor(budget: str = "region", **options) -> LayoutEditor:
    """Edits 16x32 layouts of 12 classes."""
    torch.manual_seed(1)
    config = EditorConfig(latent_size=6, widths=(12, 8), spade_hidden=6, budget=budget, **options)
    return _stirred(LayoutEditor(config, SHAPE))


def image_generator(name: str = "pyramid"):
    """Makes 16x32 images; by the names of `IMAGE_CONFIGS`."""
    torch.manual_seed(2)
    return _stirred(build_image_generator(IMAGE_CONFIGS[name], SHAPE))


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


def write_run(directory: Path, **networks: nn.Module) -> Path:
    """A run folder on 24 procedural scenes.

    Args:
        directory: where.
        networks: by `<kind>`, left by the stage of that name, or by `end_to_end_<kind>`, left by that stage. Default: a
            layout generator and a pyramid.
    """
    networks = networks or {"layout": layout_generator(), "image": image_generator()}
    scenes = load_scenes(DATA, "train")
    fit_palette_model(scenes.palettes(), PaletteFitConfig(max_components=1)).save(directory / "palette")
    for key, network in networks.items():
        kind = key.removeprefix("end_to_end_")
        stage = kind if kind == key else "end_to_end"
        (directory / stage).mkdir(exist_ok=True)
        state = {
            "model_config": to_plain(network.config),
            "weights": network.state_dict(),
            "label_space": scenes.label_space.to_json(),
            "height": HEIGHT,
            "width": WIDTH,
            "step": 3,
            "total_steps": 3,
        }
        save_tensors(state, directory / stage / f"{kind}.pt")
        write_json(directory / stage / RECORD_FILE, _record())
    stages = {
        path.parent.name: {"seed": 0, "vgg": "/home/someone/vgg.pt"} for path in directory.glob(f"*/{RECORD_FILE}")
    }
    recipe = yaml.safe_dump({"description": "Untrained networks.", "data": to_plain(DATA), **stages})
    (directory / RECIPE_FILE).write_text(recipe)
    write_json(
        directory / RUN_FILE,
        {
            "created": "2026-01-01T00:00:00+00:00",
            "recipe_digest": hashlib.sha256(recipe.encode()).hexdigest(),
            "train_digest": scenes.digest(),
            "train_scenes": len(scenes),
            "seeds": dict.fromkeys(stages, 0),
        },
    )
    return directory


def _record() -> dict[str, object]:
    """As `StageRecord` writes it: two sessions of a stage."""
    session = {
        "started": "2026-01-01T00:00:00+00:00",
        "first_step": 0,
        "device": "cpu (x86_64)",
        "processes": 1,
        "micro_batch": None,
        "threads": 1,
        "code": {"version": "0.1.0", "commit": None},
        "python": "3.12.0",
        "libraries": {"torch": "2.11"},
        "last_step": 2,
        "seconds": 60.0,
    }
    sessions = [session, session | {"first_step": 2, "last_step": 3, "seconds": 30.0}]
    return {
        "seed": 0,
        "step": 3,
        "total_steps": 3,
        "images_seen": 24,
        "seconds": 90.0,
        "curves": "curves.jsonl",
        "sessions": sessions,
    }
