"""The app is composed from entry points, and works without the extras that they need."""

import importlib
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version

import pytest
import typer

from semantic_palette.cli import main as cli
from semantic_palette.errors import BundleError, BundleNotFoundError, InvalidInputError, SemanticPaletteError


@dataclass
class EntryPoint:
    name: str
    load: object


@pytest.fixture
def installed(monkeypatch):
    """Replaces the installed commands."""

    def install(*points: EntryPoint) -> None:
        monkeypatch.setattr(cli, "entry_points", lambda **_: points)

    install()
    return install


def failing(error: Exception):
    """A register function whose command `fail` raises."""

    def register(app: typer.Typer) -> None:
        @app.command()
        def fail() -> None:
            raise error

    return lambda: register


def missing_module():
    raise ModuleNotFoundError("No module named 'torch'", name="torch")


def test_help_lists_own_and_added_commands(installed, capsys):
    installed(EntryPoint("extra", failing(ValueError())))
    assert cli.run(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("generate", "show", "version", "fail"))


def test_version_is_that_of_the_package(installed, capsys):
    assert cli.run(["version"]) == 0
    assert capsys.readouterr().out.strip() == version("semantic-palette")


def test_a_command_whose_extra_is_missing_says_which(installed, capsys):
    installed(EntryPoint("train", missing_module))
    assert cli.run(["--help"]) == 0
    assert "pip install 'semantic-palette[train]'" in " ".join(capsys.readouterr().out.split())
    assert cli.run(["train", "--recipe", "smoke", "more"]) == 1
    stderr = capsys.readouterr().err
    assert "No module named 'torch'" in stderr
    assert "pip install 'semantic-palette[train]'" in stderr


def importing(module: str):
    """A register function whose commands `status` and `models list` import a module when they run."""

    def register(app: typer.Typer) -> None:
        @app.command()
        def status(address: str = "here") -> None:
            importlib.import_module(module)

        models = typer.Typer()
        models.command("list")(status)
        models.command("show")(status)
        app.add_typer(models, name="models")

    return lambda: register


@pytest.mark.parametrize("arguments", [["status"], ["status", "--address", "there"], ["models", "list"]])
@pytest.mark.parametrize(("name", "extra"), [("serve", "serve,cpu"), ("train", "train")])
def test_a_command_that_finds_its_extra_missing_when_it_runs_says_which(installed, capsys, arguments, name, extra):
    installed(EntryPoint(name, importing("not_installed_here")))
    assert cli.run(arguments) == 1
    stderr = capsys.readouterr().err
    command = "list" if arguments[0] == "models" else arguments[0]
    assert stderr.startswith(f"error: what '{command}' needs is not installed (No module named 'not_installed_here')")
    assert f"pip install 'semantic-palette[{extra}]'" in stderr


def test_a_module_of_ours_that_is_missing_is_a_bug(installed):
    installed(EntryPoint("serve", importing("semantic_palette.no_such_module")))
    with pytest.raises(ModuleNotFoundError):
        cli.run(["status"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInputError("count", 0, "at least 1"), 2),
        (BundleNotFoundError("no bundle x"), 2),
        (BundleError("manifest.json: digest differs"), 1),
        (SemanticPaletteError("[bold]not markup[/bold]\nsecond line"), 1),
        (OSError(28, "No space left on device"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_exit_codes_and_one_line(installed, capsys, error, code):
    installed(EntryPoint("extra", failing(error)))
    assert cli.run(["fail"]) == code
    stderr = capsys.readouterr().err
    assert "Traceback" not in stderr
    if code != 130:
        assert stderr == f"error: {' '.join(str(error).split())}\n"


def test_a_bug_is_not_dressed_up_as_an_error_of_the_user(installed):
    installed(EntryPoint("extra", failing(ZeroDivisionError())))
    with pytest.raises(ZeroDivisionError):
        cli.run(["fail"])


def test_without_arguments_help_is_shown(installed, capsys):
    assert cli.run([]) in (0, 2)
    assert "generate" in "".join(capsys.readouterr())


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from semantic_palette.cli import main; main.run(['--help']); "
        "heavy = {'grpc', 'google.protobuf', 'torch', 'onnxruntime', 'openvino'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert "generate" in done.stdout
