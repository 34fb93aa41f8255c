"""The model store: bundles on disk, ``<root>/<name>/<version>/``, and which version of each is active.

A version is written once and never changed. ``<name>/active`` is a text file with the active version and
``<name>/previous`` has the one before it, for rollback. Nothing is handed out whose digests do not match the manifest.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from semantic_palette.bundle_reference import BundleReference as BundleReference
from semantic_palette.errors import BundleError, BundleNotFoundError, InvalidInputError
from semantic_palette.manifest import MANIFEST_NAME, Manifest, manifest_digest, verify_files

ACTIVE, PREVIOUS = "active", "previous"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class BundleFiles:
    """A bundle on disk whose files have been verified.

    Attributes:
        path: folder of the bundle.
        manifest: what is in it.
        digest: hex sha256 of the manifest, which stands for the whole bundle.
    """

    path: Path
    manifest: Manifest
    digest: str


class ModelStore:
    """The bundles under a folder.

    Args:
        root: the folder.

    Raises:
        BundleNotFoundError: there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise BundleNotFoundError(f"model store {root}: there is no such folder")
        self.root = root

    def without_root(self, text: str) -> str:
        """A text in which paths are those within the store: where the store is concerns nobody who calls a service."""
        for root in (self.root.resolve(), self.root.absolute()):
            text = text.replace(f"{root}/", "").replace(str(root), "the store")
        return text

    def names(self) -> list[str]:
        """Names of the bundles, sorted; entries that start with a dot, such as unfinished copies, are none."""
        return sorted(path.name for path in _visible(self.root) if path.is_dir() and self.versions(path.name))

    def versions(self, name: str) -> list[str]:
        """Versions of a bundle, oldest first; numbers are ordered as numbers.

        Raises:
            InvalidInputError: the name is not one that a bundle can have.
        """
        folder = self.root / _checked("bundle", name)
        found = [path.name for path in _visible(folder) if (path / MANIFEST_NAME).is_file()]
        return sorted(found, key=lambda version: (not version.isdecimal(), version.zfill(20)))

    def active_version(self, name: str) -> str | None:
        """The active version of a bundle, or None if none was activated."""
        return self._read(name, ACTIVE)

    def previous_version(self, name: str) -> str | None:
        """The version that was active before, or None if there was none."""
        return self._read(name, PREVIOUS)

    def open(self, name: str | None = None, version: str | None = None, *, digest: str | None = None) -> BundleFiles:
        """Open a bundle, after verifying every file of it.

        Args:
            name: name of the bundle; by default the only one in the store.
            version: version; by default the active one.
            digest: hex sha256 that the manifest must have, if given.

        Raises:
            BundleNotFoundError: there is no such bundle or version, or none is named and the store does not have
                exactly one, or no version is active.
            BundleError: the bundle is corrupt, or has another digest.
            InvalidInputError: the name or the version is not one that a bundle can have.
        """
        name = self._only_name() if name is None else _checked("bundle", name)
        version = self._active(name) if version is None else _checked("version", version)
        path = self.root / name / version
        if not (path / MANIFEST_NAME).is_file():
            known = ", ".join(self.versions(name) if name in self.names() else self.names()) or "nothing"
            raise BundleNotFoundError(f"bundle {name}/{version}: not in the store, which has {known}", self.root)
        manifest = Manifest.read(path / MANIFEST_NAME)
        if (manifest.name, manifest.version) != (name, version):
            raise BundleError(f"{path}: the manifest says that this is {manifest.name}/{manifest.version}")
        found = manifest_digest(path / MANIFEST_NAME)
        if digest not in (None, found):
            raise BundleError(f"{path}: sha256 of the manifest is {found}, wanted {digest}")
        verify_files(path, manifest)
        return BundleFiles(path, manifest, found)

    def activate(self, name: str, version: str) -> None:
        """Make a version the active one, after verifying it; the one before is kept for rollback.

        Raises:
            BundleNotFoundError: there is no such version.
            BundleError: the version is corrupt.
        """
        self.mark_active(self.open(name, version))

    def mark_active(self, files: BundleFiles) -> None:
        """As `activate`, for a version that has been opened and so verified.

        Raises:
            OSError: the store cannot be written; both pointers are as they were.
        """
        name, version = files.manifest.name, files.manifest.version
        current = self.active_version(name)
        if current == version:
            return
        before = self.previous_version(name)
        if current is not None:
            self._write(name, PREVIOUS, current)
        try:
            self._write(name, ACTIVE, version)
        except OSError:
            with suppress(OSError):  # whatever keeps us from writing may keep us from this as well
                self._restore_previous(name, before)
            raise

    def _restore_previous(self, name: str, version: str | None) -> None:
        if version is None:
            (self.root / name / PREVIOUS).unlink(missing_ok=True)
        else:
            self._write(name, PREVIOUS, version)

    def rollback(self, name: str) -> str:
        """Make the version before the active one active again; returns it. Twice is back where it was.

        Raises:
            BundleNotFoundError: no version was active before.
        """
        previous = self.version_before(name)
        self.activate(name, previous)
        return previous

    def version_before(self, name: str) -> str:
        """The version to go back to.

        Raises:
            BundleNotFoundError: no version was active before.
        """
        previous = self.previous_version(name)
        # Activating notes the version before first: after a crash between the two, both are the same.
        if previous in (None, self.active_version(name)):
            raise BundleNotFoundError(f"bundle {name}: no version was active before, so there is nothing to go back to")
        assert previous is not None
        return previous

    def _only_name(self) -> str:
        """The only bundle with an active version; where none is active, the only bundle.

        An exported bundle is not active, so exporting does not change what is served by default.
        """
        names = self.names()
        active = [name for name in names if self.active_version(name) is not None]
        if len(active or names) != 1:
            found = ", ".join(active or names) or "nothing"
            raise BundleNotFoundError(f"name a bundle (--bundle NAME); the store has {found}", self.root)
        return (active or names)[0]

    def _active(self, name: str) -> str:
        active = self.active_version(name)
        if active is None:
            versions = ", ".join(self.versions(name))
            state = f"no version is active; activate one of {versions}" if versions else "not in the store"
            raise BundleNotFoundError(f"bundle {name}: {state}", self.root)
        return active

    def _read(self, name: str, pointer: str) -> str | None:
        path = self.root / _checked("bundle", name) / pointer
        if not path.is_file():
            return None
        return _checked(f"{name}/{pointer}", path.read_text(encoding="utf-8").strip())

    def _write(self, name: str, pointer: str, version: str) -> None:
        """Replace a pointer in one step, so that a reader sees the old or the new one and a crash leaves either."""
        folder = self.root / name
        handle, temporary = tempfile.mkstemp(prefix=f".{pointer}-", dir=folder)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(version + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)  # mkstemp's files are readable by their owner only
            os.replace(temporary, folder / pointer)
        except BaseException:
            os.unlink(temporary)
            raise


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _checked(field: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidInputError(field, name, "up to 128 letters, digits, '.', '_' and '-' are, a letter or digit first")
    return name
