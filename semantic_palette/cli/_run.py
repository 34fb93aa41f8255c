"""Runs a job into a folder: asks for the missing pairs and writes them as they come."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from semantic_palette.bundle_reference import BundleReference
from semantic_palette.cli._backend import services
from semantic_palette.cli._errors import FailedPairError
from semantic_palette.cli._inputs import palette_field
from semantic_palette.client import AsyncClient, BundleDescription, Credentials, ServiceError
from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import LabelSpace
from semantic_palette.pair import BundleIdentity, Pair, PaletteOrigin
from semantic_palette.palette import palette_from_shares
from semantic_palette.writers.folder import FolderWriter, PairFolder, PairRecord
from semantic_palette.writers.job import Job, StartedJob

_GROUP_PAIRS, _GROUP_SECONDS = 16, 0.5
"""Pairs are put on disk in groups, because each group costs a wait for the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which services to ask; without an address they are started in this process."""

    address: str | None
    model_store: Path
    bundle: str | None
    engine: str
    credentials: Credentials
    """Of the connection to the address; services of this process ask for none."""

    def client(self, address: str) -> AsyncClient:
        """A client of these services at the address that they have."""
        return AsyncClient(address, credentials=None if self.address is None else self.credentials)


@dataclass(frozen=True, slots=True)
class Written:
    """What one run added to a folder, and how long the services took for it."""

    pairs: int
    seconds: float
    projected: int
    """Pairs whose palette was projected because no draw met the bounds."""


async def run_job(
    job: Job,
    started: StartedJob | None,
    folder: PairFolder,
    writer: FolderWriter,
    target: Target,
    on_record: Callable[[PairRecord], None],
) -> Written:
    """Writes the pairs of the job from `writer.next_index` on, in one event loop with the services it may start.

    Args:
        job: what to make.
        started: the job that the folder was begun with, or None when the folder is new.
        folder: where `writer` writes.
        writer: an open writer.
        target: which services.
        on_record: is given every pair that is on disk.

    Raises:
        SemanticPaletteError: bad input, or services that fail. What was written is complete.
        CancelledError: SIGTERM came; Ctrl-C becomes KeyboardInterrupt outside the event loop.
    """
    cancel_on_sigterm()
    reference = reference_to(started.bundle) if started else target.bundle
    first = writer.next_index
    async with (
        services(target.address, target.model_store, reference, target.engine) as address,
        target.client(address) as client,
    ):
        description = await describe(client, reference)
        _check_names(job, description.label_space)
        keep_job(job, started, description, folder)
        begun = time.monotonic()
        async with client.generate_pairs(
            job.count - first,
            seed=job.seed,
            first_index=first,
            palettes=job.palettes,
            constraints=None if job.palettes else job.constraints,
            adherence=job.adherence,
            deterministic=job.deterministic,
            bundle=description.identity.name,
            digest=description.identity.digest,
        ) as pairs:
            try:
                projected = await store(pairs, writer, description, on_record)
            except ServiceError as error:
                if error.code is not grpc.StatusCode.INTERNAL:
                    raise
                raise FailedPairError(writer.next_index, job.seed, error) from error
        return Written(writer.next_index - first, time.monotonic() - begun, projected)


def check_count(count: int, complete: int, out: Path) -> None:
    """Nothing is thrown away: a folder goes on to more than it holds, not back to less.

    Raises:
        InvalidInputError: fewer are asked for than the folder holds.
    """
    if count < complete:
        raise InvalidInputError("--count", count, f"{out} holds {complete} already; ask for as many or more")


def keep_job(job: Job, started: StartedJob | None, description: BundleDescription, folder: PairFolder) -> None:
    """Write the job of a folder that is new or goes on to another number of pairs; its bundle stays."""
    if started is None or started.job != job:
        StartedJob(job, description.identity, description.label_space).write(folder.job_path)


def cancel_on_sigterm() -> None:
    """Lets a cluster's polite stop finish the pairs that are being written, as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def reference_to(bundle: BundleIdentity) -> str:
    """The version that a folder was begun with, whichever is active now."""
    return f"{bundle.name}/{bundle.version}@{bundle.digest}"


async def describe(client: AsyncClient, reference: str | None) -> BundleDescription:
    """The bundle that the services have by this reference.

    Raises:
        BundleMismatchError: they have not loaded this version of it.
        InvalidInputError: they serve another version, and do not know that a version can be asked for.
        NotFoundError: they serve another bundle.
    """
    wanted = BundleReference.parse(reference)
    description = await client.label_space(wanted.name, digest=wanted.digest, version=wanted.version)
    served = description.identity
    if wanted.version not in (None, served.version):
        raise InvalidInputError("--bundle", reference, f"the services serve {served.name}/{served.version}")
    return description


def _check_names(job: Job, space: LabelSpace) -> None:
    """Names and sums, before anything is written; the service would say the same, but not which file."""
    job.constraints.bounds(space)
    for i, shares in enumerate(job.palettes or ()):
        palette_from_shares(space, shares, palette_field("palettes", i))


async def store(
    pairs: AsyncIterator[Pair],
    writer: FolderWriter,
    description: BundleDescription,
    on_record: Callable[[PairRecord], None],
) -> int:
    """Write pairs in groups; how many of them have a projected palette."""

    async def put_on_disk(group: list[Pair]) -> None:
        writing = asyncio.ensure_future(asyncio.to_thread(writer.write, group, description.label_space))
        try:
            records = await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing  # a thread cannot be cancelled: what it writes is to be whole before the folder is closed
            raise
        for record in records:
            on_record(record)

    group: list[Pair] = []
    since = time.monotonic()
    projected = 0
    try:
        async for pair in pairs:
            projected += pair.provenance.palette_origin is PaletteOrigin.PROJECTED
            group.append(pair)
            if len(group) >= _GROUP_PAIRS or time.monotonic() - since >= _GROUP_SECONDS:
                ready, group = group, []
                await put_on_disk(ready)
                since = time.monotonic()
    finally:
        if group:
            await put_on_disk(group)
    return projected
