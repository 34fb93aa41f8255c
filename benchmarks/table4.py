"""The ablation of Table 4 on procedural scenes at reduced size: does each part of the method do what the paper says?

    python benchmarks/table4.py                       # 5 rows x 3 seeds; continues what --runs holds
    python benchmarks/table4.py --rows 1,5 --seeds 1

A row is the recipe `fast/streets-ablation` with the switches that the paper's recipe of that row has. KL is the mean
divergence of arg-max layouts from their palettes, nats; a row is asked for the kind of palettes it was trained with:
those of held-out scenes, or draws of the palette model (row 5). FSD is against the training scenes, on percentages.
Prints a table and writes JSON.
"""

import argparse
import dataclasses
import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from semantic_palette.palette import histogram, kl_divergence
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.config import from_plain
from semantic_palette_training.data.registry import load_scenes, scene_shape
from semantic_palette_training.evaluation import frechet_segmentation_distance
from semantic_palette_training.models.progressive import LayoutGenerator, ProgressiveConfig
from semantic_palette_training.pipeline import run_recipe
from semantic_palette_training.recipe import Recipe, find_recipe, load_recipe
from semantic_palette_training.trainers.checkpoint import load_tensors
from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.layout_config import LayoutTrainConfig

ROWS = {row: f"paper/cityscapes/table-4-row-{row}" for row in range(1, 5)} | {5: "paper/cityscapes/semantic-palette"}
TITLES = {1: "SAA alone", 2: "+ fusion", 3: "+ multi-scale", 4: "+ soft real layouts", 5: "+ palette model"}
PAPER_KL = {1: 0.32, 2: 0.13, 3: 0.11, 4: 0.03, 5: 0.07}
SWITCHES = ("multi_scale", "real", "fake", "gumbel_temperature", "palette_source")
EVALUATION_SEED = 20_260_000
#: Scenes that no run has trained on: the same generator of scenes, another seed.
HELD_OUT_SEED = 1_000_003


def main() -> None:
    """Train what is missing, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1,2,3,4,5")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--recipe", default="fast/streets-ablation")
    parser.add_argument("--runs", type=Path, default=Path("runs/table4"))
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    base = load_recipe(find_recipe(arguments.recipe))
    results: dict[int, list[dict[str, float]]] = {}
    for row in (int(text) for text in arguments.rows.split(",")):
        results[row] = [_one(base, row, seed, arguments.runs, arguments.samples) for seed in range(arguments.seeds)]
        print(_line(row, results[row]), flush=True)
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{platform.machine()}, {torch.get_num_threads()} threads, CPU",
        "recipe": arguments.recipe,
        "samples": arguments.samples,
        "rows": {row: {"title": TITLES[row], "paper_kl": PAPER_KL[row], "runs": runs} for row, runs in results.items()},
        "ordering": _ordering(results) if len(results) == len(ROWS) else None,
    }
    print(json.dumps(report["ordering"], indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=2) + "\n")


def row_recipe(base: Recipe, row: int, seed: int) -> Recipe:
    """The small recipe with the switches of a row of Table 4."""
    paper, layout = load_recipe(find_recipe(ROWS[row])).layout, base.layout
    if paper is None or layout is None:
        raise SystemExit("recipes with a section layout are expected")
    generator = dataclasses.replace(layout.generator, fusion=paper.generator.fusion)
    switches: dict[str, Any] = {name: getattr(paper, name) for name in SWITCHES}
    row_layout: LayoutTrainConfig = dataclasses.replace(layout, generator=generator, seed=seed, **switches)
    return dataclasses.replace(base, layout=row_layout, image=None)


def _one(base: Recipe, row: int, seed: int, runs: Path, samples: int) -> dict[str, float]:
    recipe, directory = row_recipe(base, row, seed), runs / f"row-{row}-seed-{seed}"
    run_recipe(recipe, directory, TrainContext(torch.device("cpu")))
    palettes = _palettes(recipe, directory, samples)
    layouts = _generate(recipe, directory, palettes)
    achieved = histogram(layouts, palettes.shape[1])
    kl = kl_divergence(palettes, achieved)
    train = load_scenes(recipe.data, "train").palettes()
    return {
        "seed": seed,
        "kl": float(kl.mean()),
        "kl_median": float(np.median(kl)),
        "fsd": float(frechet_segmentation_distance(train, achieved)),
    }


def _palettes(recipe: Recipe, directory: Path, samples: int) -> NDArray[np.float64]:
    """What the row is asked for: float64 [N, K]."""
    if recipe.layout is not None and recipe.layout.palette_source == "model":
        return PaletteModel.load(directory / "palette" / "palette.npz").sample(EVALUATION_SEED, 0, samples).palettes
    data = dataclasses.replace(recipe.data, count=samples, seed=HELD_OUT_SEED)
    return load_scenes(data, "train").palettes()


@torch.no_grad()
def _generate(recipe: Recipe, directory: Path, palettes_NK: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Arg-max layouts of the averaged generator, uint8 [N, H, W]."""
    state = load_tensors(directory / "layout" / "layout.pt")
    config = from_plain(ProgressiveConfig, state["model_config"])
    generator = LayoutGenerator(config, scene_shape(recipe.data)).eval()
    generator.load_state_dict(state["weights"])
    noise = torch.Generator().manual_seed(EVALUATION_SEED)
    made = []
    for palette_BK in torch.from_numpy(palettes_NK.astype(np.float32)).split(50):
        z_BZ = torch.randn(len(palette_BK), config.latent_size, generator=noise)
        made.append(generator(z_BZ, palette_BK)[-1].soft_BKHW.argmax(dim=1).to(torch.uint8))
    return torch.cat(made).numpy()


def _line(row: int, runs: list[dict[str, float]]) -> str:
    values = " ".join(f"{run['kl']:.3f}" for run in runs)
    mean, fsd = (float(np.mean([run[key] for run in runs])) for key in ("kl", "fsd"))
    return f"row {row}  {TITLES[row]:<22} KL {values}  mean {mean:.3f} (paper {PAPER_KL[row]:.2f})  FSD {fsd:.1f}"


def _ordering(results: dict[int, list[dict[str, float]]]) -> dict[str, bool]:
    """Whether the means, and every single seed, are ordered as in the paper."""
    mean = {row: float(np.mean([run["kl"] for run in runs])) for row, runs in results.items()}
    worst_soft = max(run["kl"] for row in (4, 5) for run in results[row])
    best_gumbel = min(run["kl"] for row in (1, 2, 3) for run in results[row])
    return {
        "saa_alone_is_worst": all(mean[1] > mean[row] for row in (2, 3, 4, 5)),
        "soft_rows_below_gumbel_rows": max(mean[4], mean[5]) < min(mean[1], mean[2], mean[3]),
        "soft_rows_below_gumbel_rows_for_every_seed": worst_soft < best_gumbel,
    }


if __name__ == "__main__":
    main()
