"""The app: its own commands, and those that installed packages add through entry points.

An entry point of the group `semantic_palette.commands` is a function `register(app)`. One whose extra is not installed
is listed all the same, as a command that says which extra to install.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version

import typer

from semantic_palette.cli._errors import MissingExtraError, exit_code, print_error
from semantic_palette.cli.generate import generate
from semantic_palette.cli.show import show
from semantic_palette.errors import SemanticPaletteError

GROUP = "semantic_palette.commands"


def build_app() -> typer.Typer:
    """Returns the app with every command there is."""
    app = typer.Typer(
        name="semantic-palette",
        help="Labelled street scenes that follow the class proportions you ask for.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.command()(generate)
    app.command()(show)
    app.command("version")(print_version)
    for entry_point in sorted(entry_points(group=GROUP), key=lambda entry_point: entry_point.name):
        _add_commands(app, entry_point)
    return app


def print_version() -> None:
    """Print the version of the package."""
    typer.echo(version("semantic-palette"))


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line (default: this process's) and returns its exit code."""
    try:
        build_app()(args=arguments)
    except (SemanticPaletteError, OSError) as error:
        print_error(error)
        return exit_code(error)
    except SystemExit as end:  # typer ends every command so
        return end.code if isinstance(end.code, int) else 0
    return 0


def main() -> None:
    """Entry point of the script `semantic-palette`."""
    sys.exit(run())


def _add_commands(app: typer.Typer, entry_point: EntryPoint) -> None:
    try:
        register = entry_point.load()
    except ImportError as error:
        _add_missing(app, entry_point.name, error)
    else:
        register(app)


def _add_missing(app: typer.Typer, extra: str, cause: ImportError) -> None:
    """Entry points are named after the extra that they need."""

    def missing() -> None:
        raise MissingExtraError(f"'{extra}'", extra, cause)

    # Whatever options are given, the answer is what to install.
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(extra, help=f"Needs pip install 'semantic-palette\\[{extra}]'.", context_settings=settings)(missing)
