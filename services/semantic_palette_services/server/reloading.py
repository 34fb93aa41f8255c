"""Files that are read again while the server runs: certificates and tokens, which others renew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from semantic_palette.errors import SemanticPaletteError

logger = logging.getLogger(__name__)

Value = TypeVar("Value")
Contents: TypeAlias = Mapping[str, bytes]
"""Content of files, by the name of the setting that names each."""

POLL_SECONDS = 1.0
"""How often files are compared with what was read last."""


class SecretFileError(SemanticPaletteError):
    """A file with certificates or tokens cannot be used.

    The message names the setting and what is wrong, and never quotes the file.
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting


class ReloadObserver(Protocol):
    """Is told about files that have changed; may be called from any thread."""

    def reloaded(self, what: str, ok: bool) -> None:
        """``what`` has changed, and is in use (``ok``) or was refused."""


class Reloaded(Generic[Value]):
    """What is made of some files, made again whenever their content changes.

    Contents are compared, not times: a secret of Kubernetes changes by a symbolic link, other files in place, and
    neither has to have another time or size. What cannot be used, such as a half-written file, changes nothing.

    Args:
        what: what logs and metrics call it.
        files: path of each file, by the name of its setting.
        load: makes the value; raises SecretFileError.
        observer: is told about changes.

    Raises:
        SecretFileError: the files cannot be used now.

    Attributes:
        value: what is in use.
    """

    def __init__(
        self, what: str, files: Mapping[str, Path], load: Callable[[Contents], Value], observer: ReloadObserver
    ) -> None:
        self._what = what
        self._files = dict(files)
        self._load = load
        self._observer = observer
        self._seen: Contents | str = self._read()
        self.value: Value = load(self._seen)

    def refresh(self) -> None:
        """Read the files again where they have changed. Never raises SecretFileError: what was read before stays."""
        contents: Contents | str
        try:
            contents = self._read()
        except SecretFileError as error:
            contents = str(error)
        if contents == self._seen:
            return
        self._seen = contents
        try:
            if isinstance(contents, str):
                raise SecretFileError(self._what, contents)
            self.value = self._load(contents)
        except SecretFileError as error:
            logger.warning("%s: not reloaded, what was loaded before stays in use: %s", self._what, error)
            self._observer.reloaded(self._what, ok=False)
        else:
            logger.info("%s: reloaded", self._what)
            self._observer.reloaded(self._what, ok=True)

    def _read(self) -> dict[str, bytes]:
        contents = {}
        for setting, path in self._files.items():
            try:
                contents[setting] = path.read_bytes()
            except OSError as error:
                raise SecretFileError(setting, f"{path} cannot be read: {error.strerror}") from error
        return contents


@asynccontextmanager
async def kept_fresh(reloaded: Sequence[Reloaded[Any]]) -> AsyncIterator[None]:
    """Refresh everything every second for as long as the context lasts."""
    if not reloaded:
        yield
        return
    task = asyncio.create_task(_refresh(reloaded))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _refresh(reloaded: Sequence[Reloaded[Any]]) -> None:
    while True:
        await asyncio.sleep(POLL_SECONDS)
        for one in reloaded:
            try:
                await asyncio.to_thread(one.refresh)
            except Exception:
                # The rest goes on being refreshed: this task is what lets an operator mend anything.
                logger.exception("cannot refresh files")
