"""The app: its own commands, and those that installed packages add through entry points.

An entry point of the group `semantic_palette.commands` is a function `register(app)`. One whose extra is not installed
is listed all the same, and says which extra to install when it is called: whether it misses it already when it is
loaded or, importing late, when its commands run.
"""

import functools
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any

import typer

from semantic_palette.cli._errors import MissingExtraError, exit_code, print_error
from semantic_palette.cli.edit import edit
from semantic_palette.cli.generate import generate
from semantic_palette.cli.loadtest import loadtest
from semantic_palette.cli.show import show
from semantic_palette.errors import SemanticPaletteError

GROUP = "semantic_palette.commands"
_EXTRAS = {"serve": "serve,cpu"}
"""Extras that an entry point needs, where they are not called as it is."""


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
    app.command()(edit)
    app.command()(show)
    app.command()(loadtest)
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
    extra = _EXTRAS.get(entry_point.name, entry_point.name)
    try:
        register = entry_point.load()
    except ImportError as error:
        _add_missing(app, entry_point.name, extra, error)
        return
    added = typer.Typer()
    register(added)
    _name_extra(added, extra)
    app.add_typer(added)


def _add_missing(app: typer.Typer, name: str, extra: str, cause: ImportError) -> None:
    def missing() -> None:
        raise MissingExtraError(f"'{name}'", extra, cause)

    # Whatever options are given, the answer is what to install.
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(name, help=f"Needs pip install 'semantic-palette\\[{extra}]'.", context_settings=settings)(missing)


def _name_extra(app: typer.Typer, extra: str) -> None:
    """Lets every command of an app say which extra to install when it meets a module that is missing."""
    for command in app.registered_commands:
        if command.callback is not None:
            name = command.name or command.callback.__name__
            command.callback = _naming_extra(command.callback, name, extra)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _name_extra(group.typer_instance, extra)


def _naming_extra(command: Callable[..., Any], name: str, extra: str) -> Callable[..., Any]:
    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("semantic_palette"):
                raise  # a fault of ours, which no extra mends
            raise MissingExtraError(f"what '{name}' needs", extra, error) from error

    return guarded
