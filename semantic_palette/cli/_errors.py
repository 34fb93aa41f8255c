"""Errors of the command line: one line on stderr and an exit code, never a traceback."""

from rich.console import Console
from rich.markup import escape

from semantic_palette.errors import BundleNotFoundError, InvalidInputError, SemanticPaletteError

FAILURE, BAD_INPUT, INTERRUPTED = 1, 2, 130


class MissingExtraError(SemanticPaletteError):
    """A command needs a part of the package that is not installed."""

    def __init__(self, what: str, extra: str, cause: ImportError | None = None) -> None:
        reason = f" ({cause})" if cause is not None else ""
        super().__init__(f"{what} is not installed{reason}: pip install 'semantic-palette[{extra}]'")


class FailedPairError(SemanticPaletteError):
    """The services fail to make one pair; trying it again may well fail again."""

    def __init__(self, index: int, seed: int, cause: Exception) -> None:
        advice = "the same command tries it again; should it fail again, use another --seed and another folder"
        super().__init__(f"pair {index} of seed {seed}: {cause}; {advice}")


def exit_code(error: Exception) -> int:
    """2 for what the caller gave, 1 for everything else."""
    if isinstance(error, InvalidInputError | BundleNotFoundError):
        return BAD_INPUT
    code = getattr(error, "code", None)  # of a ServiceError; not imported, because that would load gRPC
    return BAD_INPUT if getattr(code, "name", "") == "NOT_FOUND" else FAILURE


def print_error(message: object) -> None:
    Console(stderr=True).print(
        f"[bold red]error:[/] {escape(_one_line(str(message)))}", soft_wrap=True, highlight=False
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
