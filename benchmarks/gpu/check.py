"""What training and the exported models do on a GPU; see README.md beside this file."""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.streets import StreetsData
from semantic_palette_training.palette_fit import PaletteFitConfig, fit_palette_model
from semantic_palette_training.pipeline import run_recipe
from semantic_palette_training.recipe import find_recipe, load_recipe
from semantic_palette_training.smoke import shrunk
from semantic_palette_training.stages import StageInputs, new_stage
from semantic_palette_training.trainers.context import TrainContext, train_context

#: One recipe for every kind of stage and network.
SMOKE = (
    "smoke/streets",
    "fast/camvid-gpu",
    "paper/cityscapes/semantic-palette-e2e",
    "paper/cityscapes/sb-gan-e2e",
    "paper/cityscapes/pgan-cgan",
    "paper/celebamask-hq/face-editor",
)


def main() -> None:
    """Run every check and print one JSON object; exit with 1 when an exported model differs from its golden output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--bundle", type=Path, default=Path("model_store/camvid/1"))
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.exit(2, "torch finds no CUDA device here; --device cpu is the dry run\n")
    with train_context(arguments.device) as context:
        report = {
            "device": torch.cuda.get_device_name() if arguments.device == "cuda" else platform.machine(),
            "torch": torch.__version__,
            "smoke": {name: smoke(name, context) for name in SMOKE},
            "golden": golden(arguments.bundle, arguments.device),
            "steps_per_second": {
                name: steps_per_second(name, arguments.steps, context) for name in ("layout", "image")
            },
        }
    print(json.dumps(report, indent=2))
    agrees = report["golden"]["equal_labels"] >= 0.99 and report["golden"]["image_psnr_db"] >= 35
    raise SystemExit(0 if agrees else 1)


def smoke(name: str, context: TrainContext) -> str:
    """Train a shrunk recipe, stopped once and continued; how it ended."""
    recipe = shrunk(load_recipe(find_recipe(name)))
    with tempfile.TemporaryDirectory() as folder:
        run_recipe(recipe, Path(folder) / "run", context, deadline=time.monotonic())
        return run_recipe(recipe, Path(folder) / "run", context).value


def golden(bundle: Path, device: str) -> dict[str, Any]:
    """Agreement of the TorchScript models on the device with the eager float32 CPU outputs in the bundle."""
    expected = np.load(bundle / "golden.npz", allow_pickle=False)
    layout = torch.jit.load(bundle / "torchscript" / "layout.pt", map_location=device)
    image = torch.jit.load(bundle / "torchscript" / "image.pt", map_location=device)
    tensors = {name: torch.from_numpy(expected[name]).to(device) for name in expected.files}
    with torch.no_grad():
        labels = layout(tensors["z_layout"], tensors["palettes"]).cpu().numpy()
        images = image(tensors["layouts"], tensors["z_image"]).cpu().numpy()
    error = np.square(images.astype(np.float64) - expected["images"]).mean()
    return {
        "equal_labels": float((labels == expected["labels"]).mean()),
        "image_psnr_db": float(10 * np.log10(255**2 / max(error, 1e-12))),
    }


def steps_per_second(name: str, steps: int, context: TrainContext) -> float:
    """Training steps a second at the last phase of fast/camvid-cpu, on procedural scenes of its size."""
    recipe = load_recipe(find_recipe("fast/camvid-cpu"))
    recipe.data = StreetsData(height=recipe.data.height, width=recipe.data.width, count=64)
    scenes = load_scenes(recipe.data, "train")
    palettes = fit_palette_model(scenes.palettes(), PaletteFitConfig(max_components=1)).model
    stage = new_stage(name, StageInputs(recipe, scenes, palettes, context, lambda: scenes))
    stage.step_index = stage.total_steps - 2 * steps
    for _ in range(3):
        stage.run_step()
    started = time.perf_counter()
    for _ in range(steps):
        metrics = stage.run_step()
    # Reading a value waits for the device.
    assert all(np.isfinite(value) for value in context.sum_metrics(metrics).values())
    return round(steps / (time.perf_counter() - started), 3)


if __name__ == "__main__":
    main()
