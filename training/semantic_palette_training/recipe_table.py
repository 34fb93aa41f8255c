"""The table of recipes: what each trains, how large it is and, measured, how long it takes here."""

from rich.console import Console
from rich.progress import track
from rich.table import Table

from semantic_palette_training.costs import costs
from semantic_palette_training.estimate import Rate, TrainingFlop, hours, measured_rate
from semantic_palette_training.recipe import Recipe, find_recipe, load_recipe, recipe_names
from semantic_palette_training.trainers.context import train_context


def print_recipes(*, measure: bool, device: str | None = None) -> None:
    """Print the table; with `measure`, after half a minute on the device and a few minutes of counting.

    Raises:
        InvalidInputError: there is no such device.
    """
    console = Console()
    rate = None
    if measure:
        with train_context(device) as context, console.status(f"measuring {context.device} for 30 seconds"):
            rate = measured_rate(context.device)
        console.print(
            f"{context.device}: {rate.single / 1e12:.3g} TFLOP/s in float32, {rate.autocast / 1e12:.3g} in bfloat16"
        )
    names = recipe_names()
    table = Table("recipe", "data", "size", "stages", "parameters")
    if rate is not None:
        table.add_column("training", justify="right")
        table.add_column("hours here", justify="right")
    counter = TrainingFlop()
    for name in track(names, "counting operations", console=console, transient=True, disable=rate is None):
        recipe = load_recipe(find_recipe(name))
        table.add_row(name, *_facts(recipe), *_training(recipe, rate, counter))
    console.print(table)
    console.print("`semantic-palette train --recipe NAME --dry-run` prints a recipe with its networks.")


def _facts(recipe: Recipe) -> tuple[str, ...]:
    stages = " ".join(name for name in recipe.stages() if name != "palette")
    parameters = sum(cost.parameters for cost in costs(recipe).values())
    return recipe.data.name, f"{recipe.data.height}x{recipe.data.width}", stages, f"{parameters / 1e6:.1f} M"


def _training(recipe: Recipe, rate: Rate | None, counter: TrainingFlop) -> tuple[str, ...]:
    """Operations and hours of the whole recipe."""
    if rate is None:
        return ()
    flop = counter.stages(recipe)
    return f"{sum(flop.values()) / 1e15:.3g} PFLOP", f"{hours(recipe, flop, rate):.3g}"
