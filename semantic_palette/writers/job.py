"""The job of a folder: what was asked, of which bundle. `job.json` keeps it, so that the same command can continue."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from semantic_palette.constraints import Constraints
from semantic_palette.errors import InvalidInputError, SemanticPaletteError, shorten
from semantic_palette.label_space import LabelSpace
from semantic_palette.pair import Adherence, BundleIdentity

SCHEMA_VERSION = 1


class FolderError(SemanticPaletteError):
    """A folder of pairs that cannot be read or continued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What was asked. Two jobs that are equal make the same pairs of the same bundle."""

    count: int
    """How many pairs. No pair depends on it, so a folder may be continued to another number of them."""
    seed: int
    palettes: list[dict[str, float]] | None = None
    """Shares by class name as they were given; pair i uses palette i modulo their number. None: sampled."""
    fixed: Mapping[str, float] = field(default_factory=dict)
    minimum: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)
    adherence: str = Adherence.NATURAL.value
    deterministic: bool = False
    edit: Mapping[str, Any] | None = None
    """What was edited, and how, as plain JSON values. None: pairs were generated."""

    @property
    def constraints(self) -> Constraints:
        return Constraints(self.fixed, self.minimum, self.maximum)

    def differences(self, other: Self) -> list[str]:
        """Says, one phrase a field, where the pairs of this job (the earlier one) and of another differ."""
        named = (f.name for f in fields(self) if f.name != "count")
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in named)
        return [
            f"{name} was {shorten(mine)} and is now {shorten(theirs)}" for name, mine, theirs in pairs if mine != theirs
        ]


@dataclass(frozen=True, slots=True)
class StartedJob:
    """A job and the bundle that it is pinned to."""

    job: Job
    bundle: BundleIdentity
    label_space: LabelSpace

    def write(self, path: Path) -> None:
        """Writes the job atomically."""
        data = {
            "schema_version": SCHEMA_VERSION,
            "job": {name: value for name, value in asdict(self.job).items() if name != "edit" or value is not None},
            "bundle": asdict(self.bundle),
            "label_space": self.label_space.to_json(),
        }
        temporary = path.with_name(f".{path.name}.partial")
        temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)

    @classmethod
    def read(cls, path: Path) -> "StartedJob":
        """Reads what `write` wrote.

        Raises:
            FolderError: the file is no such thing.
            OSError: the file cannot be read.
        """
        try:
            data: Any = json.loads(path.read_text(encoding="utf-8"))
            if data["schema_version"] != SCHEMA_VERSION:
                raise FolderError(f"{path}: schema version {data['schema_version']!r} is not {SCHEMA_VERSION}")
            return cls(Job(**data["job"]), BundleIdentity(**data["bundle"]), LabelSpace.from_json(data["label_space"]))
        except (ValueError, KeyError, TypeError, InvalidInputError) as error:
            raise FolderError(f"{path} is not the job of a folder of pairs: {error}") from error
