"""Runs edits into a folder, and says what became of the region."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from semantic_palette.cli._backend import services
from semantic_palette.cli._edit_source import Change, Subject
from semantic_palette.cli._run import Target, cancel_on_sigterm, check_count, describe, keep_job, reference_to, store
from semantic_palette.client import AsyncClient, BundleDescription, EditedLayout, InvalidRequestError
from semantic_palette.editing import RegionShares
from semantic_palette.label_space import LabelSpace
from semantic_palette.pair import BundleIdentity, EditedPair, EngineIdentity
from semantic_palette.palette import shares_from_palette
from semantic_palette.writers.folder import FolderWriter, PairFolder
from semantic_palette.writers.job import Job, StartedJob
from semantic_palette.writers.layouts import LayoutWriter

_ITEMS = 32
"""Layouts that are asked for at a time, which fills a service's batches; fewer where it refuses as many."""


@dataclass(slots=True)
class EditResult:
    """What the edits of one run achieved in their region."""

    requested: dict[str, float] = field(default_factory=dict)
    achieved: dict[str, float] = field(default_factory=dict)
    """Sum of the shares of a class over the edits."""
    kls: list[float] = field(default_factory=list)
    area: float = 0.0

    @property
    def edits(self) -> int:
        return len(self.kls)

    def add(self, region: RegionShares, space: LabelSpace) -> None:
        """Counts an edit."""
        self.kls.append(region.kl)
        self.area = region.area
        self.requested = shares_from_palette(space, region.requested)
        for name, share in shares_from_palette(space, region.achieved).items():
            self.achieved[name] = self.achieved.get(name, 0.0) + share

    def tables(self) -> list[Table]:
        """Two tables: the edits and their KL; and the shares in the region, of the classes that are in either."""
        totals = Table("edits", "region (% of the frame)", "mean KL", "max KL")
        mean = sum(self.kls) / self.edits
        totals.add_row(str(self.edits), f"{100 * self.area:.2f}", f"{mean:.4f}", f"{max(self.kls):.4f}")
        title = "mean shares of the region" if self.edits > 1 else "shares of the region"
        shares = Table("class", "requested (%)", "achieved (%)", "difference", title=title, title_justify="left")
        for column in shares.columns[1:]:
            column.justify = "right"
        for name, share in self.requested.items():
            requested, achieved = 100 * share, 100 * self.achieved[name] / self.edits
            if requested or achieved:
                shares.add_row(name, f"{requested:.2f}", f"{achieved:.2f}", f"{achieved - requested:+.2f}")
        return [totals, shares]


def edit_pairs(
    subject: Subject, change: Change, out: Path, count: int, seed: int, deterministic: bool, target: Target
) -> EditResult:
    """Writes edits of a pair to a folder of pairs, from the first that is missing.

    Raises:
        InvalidInputError: the folder holds another job or layouts alone, or the edit cannot be made.
        SemanticPaletteError: services that fail. What was written is complete.
    """
    job = Job(count=count, seed=seed, deterministic=deterministic, edit=change.describe(subject))
    folder, result = PairFolder(out), EditResult()
    started = folder.job_to_continue(job, target.bundle)
    with FolderWriter(folder, lambda record: None) as writer:
        check_count(count, writer.next_index, out)
        if writer.next_index < count:
            asyncio.run(_write_pairs(subject, change, job, started, folder, writer, target, result))
    return result


async def _write_pairs(
    subject: Subject,
    change: Change,
    job: Job,
    started: StartedJob | None,
    folder: PairFolder,
    writer: FolderWriter,
    target: Target,
    result: EditResult,
) -> None:
    cancel_on_sigterm()
    reference = reference_to(started.bundle) if started else target.bundle
    assert subject.image is not None, "a layout alone is not a pair"
    async with AsyncExitStack() as stack:
        client, description = await _connect(stack, target, reference)
        keep_job(job, started, description, folder)
        pairs = client.edit_pairs(
            [change.source(subject, subject.image)],
            job.count - writer.next_index,
            seed=job.seed,
            first_index=writer.next_index,
            deterministic=job.deterministic,
            bundle=description.identity.name,
            digest=description.identity.digest,
        )
        await stack.enter_async_context(pairs)
        await store(_counted(pairs, result, description.label_space), writer, description, lambda record: None)


async def _counted(
    pairs: AsyncIterator[EditedPair], result: EditResult, space: LabelSpace
) -> AsyncIterator[EditedPair]:
    async for pair in pairs:
        result.add(pair.region, space)
        yield pair


def edit_layouts(
    subject: Subject, change: Change, out: Path, count: int, seed: int, deterministic: bool, target: Target
) -> EditResult:
    """Writes edits of a layout to labels/ and layouts.jsonl, one object an edit, after those that are there.

    Raises:
        InvalidInputError: the folder holds pairs or other edits, or the edit cannot be made.
        FolderError: the folder cannot be continued.
        SemanticPaletteError: services that fail. What was written is complete.
    """
    result = EditResult()
    asked = change.describe(subject) | {"seed": seed, "deterministic": deterministic}
    with LayoutWriter(out, asked, target.bundle) as writer:
        check_count(count, writer.next_index, out)
        if writer.next_index < count:
            asyncio.run(_write_layouts(subject, change, count, asked, target, writer, result))
    return result


async def _write_layouts(
    subject: Subject,
    change: Change,
    count: int,
    asked: dict[str, Any],
    target: Target,
    writer: LayoutWriter,
    result: EditResult,
) -> None:
    cancel_on_sigterm()
    reference = reference_to(writer.bundle) if writer.bundle else target.bundle
    async with AsyncExitStack() as stack:
        client, description = await _connect(stack, target, reference)
        at_a_time = _ITEMS
        while (first := writer.next_index) < count:
            chunk = range(first, min(first + at_a_time, count))
            try:
                batch = await client.edit_layouts(
                    [change.item(subject, asked["seed"], index) for index in chunk],
                    deterministic=asked["deterministic"],
                    bundle=description.identity.name,
                    digest=description.identity.digest,
                )
            except InvalidRequestError as error:
                # Of large frames a service takes fewer at a time.
                if error.field != "items" or len(chunk) == 1:
                    raise
                at_a_time = len(chunk) // 2
                continue
            writer.write(
                [
                    (layout.label_data, _line(index, layout, description, batch.engine, asked))
                    for index, layout in zip(chunk, batch.layouts, strict=True)
                ]
            )
            for layout in batch.layouts:
                result.add(layout.region, description.label_space)


def _line(
    index: int, layout: EditedLayout, description: BundleDescription, engine: EngineIdentity, asked: dict[str, Any]
) -> dict[str, Any]:
    bundle: BundleIdentity = description.identity
    return {
        "id": f"{index:06d}",
        "requested": shares_from_palette(description.label_space, layout.region.requested),
        "achieved": shares_from_palette(description.label_space, layout.region.achieved),
        "kl": layout.region.kl,
        "area": layout.region.area,
        "label": f"labels/{index:06d}.png",
        "bundle": bundle.name,
        "bundle_version": bundle.version,
        "bundle_digest": bundle.digest,
        "engine": f"{engine.engine}-{engine.precision}",
        "edit": asked,
    }


async def _connect(
    stack: AsyncExitStack, target: Target, reference: str | None
) -> tuple[AsyncClient, BundleDescription]:
    address = await stack.enter_async_context(services(target.address, target.model_store, reference, target.engine))
    client = await stack.enter_async_context(target.client(address))
    return client, await describe(client, reference)
