"""Small real servicers for the tests of the client and the CLI: tiny deterministic scenes, and faults on demand."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from PIL import Image

from semantic_palette.budget import integer_budget
from semantic_palette.constraints import Constraints
from semantic_palette.editing import Box, Budget, RegionShares, ShareEdit, frame_palette, plan_edit
from semantic_palette.errors import InvalidInputError
from semantic_palette.grpc_conventions import PUSHBACK_KEY, STATUS_DETAILS_KEY
from semantic_palette.label_space import STREETS
from semantic_palette.layout import colourise, decode_png, encode_png
from semantic_palette.pair import Adherence, BundleIdentity, EngineIdentity, Pair, PaletteOrigin, Provenance
from semantic_palette.palette import histogram, kl_divergence, palette_from_shares, project_to_simplex
from semantic_palette.palette import shares_from_palette as shares
from semantic_palette.v1 import (
    common_pb2,
    factory_service_pb2,
    factory_service_pb2_grpc,
    image_service_pb2,
    image_service_pb2_grpc,
    layout_service_pb2,
    layout_service_pb2_grpc,
    palette_service_pb2,
    palette_service_pb2_grpc,
)

HEIGHT, WIDTH = 8, 16
SPACE = STREETS
DIGEST = hashlib.sha256(b"fake bundle").hexdigest()
ENGINE = common_pb2.EngineIdentity(
    engine="fake", engine_version="1.0", precision="fp32", model_digest=hashlib.sha256(b"model").hexdigest()
)


@dataclass
class Fault:
    """An error for one call, after `after` answers of a stream."""

    code: grpc.StatusCode
    details: str = "injected"
    after: int = 0
    pushback_ms: str | None = None
    messages: tuple = ()
    """google.rpc error details."""


@dataclass
class Fakes:
    """Behaviour that a test asks for, and what it can observe."""

    faults: list[Fault] = field(default_factory=list)
    delay: float = 0.0
    """Seconds before each pair of a stream."""
    digest: str = DIGEST
    padding: int = 0
    """Bytes added to each image of a stream."""
    max_items: int = 256
    """Layouts that are edited by one request."""
    skip_index: int | None = None
    """The stream leaves out this index."""
    requests: list = field(default_factory=list)
    in_flight: int = 0
    produced: int = 0
    log: Path | None = None
    """Where calls that begin and end are written, for tests in another process."""

    @asynccontextmanager
    async def call(self, request, context) -> AsyncIterator[Fault | None]:
        self.in_flight += 1
        copy = type(request)()
        copy.CopyFrom(request)
        self.requests.append(copy)
        self._write("begin")
        try:
            fault = self.faults.pop(0) if self.faults else None
            if fault is not None and fault.after == 0:
                await abort(context, fault)
            if request.bundle.digest not in ("", self.digest):
                await abort(context, Fault(grpc.StatusCode.FAILED_PRECONDITION, "another digest is served"))
            if request.bundle.name not in ("", "fake"):
                await abort(context, Fault(grpc.StatusCode.NOT_FOUND, f"no bundle {request.bundle.name}"))
            yield fault
        finally:
            self.in_flight -= 1
            self._write("end")

    def _write(self, word: str) -> None:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(word + "\n")

    @property
    def identity(self) -> common_pb2.BundleIdentity:
        return common_pb2.BundleIdentity(name="fake", version="1", digest=self.digest)


async def abort(context, fault: Fault) -> None:
    status = status_pb2.Status(code=fault.code.value[0], message=fault.details)
    for message in fault.messages:
        packed = any_pb2.Any()
        packed.Pack(message)
        status.details.append(packed)
    metadata = [(STATUS_DETAILS_KEY, status.SerializeToString())] if fault.messages else []
    if fault.pushback_ms is not None:
        metadata.append((PUSHBACK_KEY, fault.pushback_ms))
    await context.abort(fault.code, fault.details, tuple(metadata))


def bad_request(error: InvalidInputError) -> Fault:
    violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=str(error))
    return Fault(
        grpc.StatusCode.INVALID_ARGUMENT,
        str(error),
        messages=(error_details_pb2.BadRequest(field_violations=[violation]),),
    )


def draw_layout(palette: np.ndarray, index: int) -> np.ndarray:
    counts = integer_budget(palette, HEIGHT * WIDTH)
    labels = np.repeat(np.arange(SPACE.num_classes, dtype=np.uint8), counts).reshape(HEIGHT, WIDTH)
    return np.roll(labels, index, axis=1)


def draw_image(labels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(colourise(labels, SPACE) // 2 + 64).save(buffer, format="PNG")
    return buffer.getvalue()


def draw_edit(labels, edit, index: int, field: str):
    """The layout with the region's pixels in order of class, what became of the region, and its mask."""
    area = edit.region.WhichOneof("area")
    if area == "box":
        box = edit.region.box
        mask = Box(box.left, box.top, box.right, box.bottom).mask(HEIGHT, WIDTH, f"{field}.region.box")
    elif area == "mask":
        mask = decode_png(edit.region.mask.data, 256, HEIGHT, WIDTH) != 0
    else:
        mask = np.ones((HEIGHT, WIDTH), bool)
    shares = {"target": dict(edit.target.shares), "deltas": dict(edit.deltas.deltas)}
    kind = edit.WhichOneof("change")
    plan = plan_edit(SPACE, labels, mask, ShareEdit(**{kind: shares[kind]}), Budget.REGION, field)
    edited = labels.copy()
    counts = integer_budget(plan.requested_K, int(mask.sum()))
    edited[mask] = np.roll(np.repeat(np.arange(SPACE.num_classes, dtype=np.uint8), counts), index)
    return edited, RegionShares.of(plan, edited, mask), mask


def compose(image: bytes, labels: np.ndarray, mask: np.ndarray) -> bytes:
    """The image, drawn anew within the mask; as PNG."""
    with Image.open(io.BytesIO(image)) as old, Image.open(io.BytesIO(draw_image(labels))) as new:
        pixels = np.where(mask[:, :, None], np.asarray(new), np.asarray(old.convert("RGB")))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def region_shares(region: RegionShares) -> common_pb2.RegionShares:
    return common_pb2.RegionShares(
        requested=common_pb2.Palette(shares=shares(SPACE, region.requested)),
        achieved=common_pb2.Palette(shares=shares(SPACE, region.achieved)),
        kl=region.kl,
        area=region.area,
    )


def sample_palette(seed: int, index: int, bounds) -> np.ndarray:
    draw = np.random.default_rng([seed, index]).dirichlet(np.ones(SPACE.num_classes))
    return project_to_simplex(draw, bounds.lower, bounds.upper)


def read_constraints(message: common_pb2.Constraints) -> Constraints:
    return Constraints(dict(message.fixed), dict(message.minimum), dict(message.maximum))


class PaletteService(palette_service_pb2_grpc.PaletteServiceServicer):
    def __init__(self, fakes: Fakes) -> None:
        self.fakes = fakes

    async def GetLabelSpace(self, request, context):
        async with self.fakes.call(request, context):
            return palette_service_pb2.GetLabelSpaceResponse(
                bundle=self.fakes.identity,
                name=SPACE.name,
                classes=[
                    palette_service_pb2.LabelClass(
                        id=c.id,
                        name=c.name,
                        colour=c.colour[0] << 16 | c.colour[1] << 8 | c.colour[2],
                        evaluated=c.evaluated,
                        thing=c.thing,
                    )
                    for c in SPACE.classes
                ],
                height=HEIGHT,
                width=WIDTH,
            )

    async def SamplePalettes(self, request, context):
        async with self.fakes.call(request, context):
            try:
                bounds = read_constraints(request.constraints).bounds(SPACE)
            except InvalidInputError as error:
                await abort(context, bad_request(error))
            palettes = [
                palette_service_pb2.SampledPalette(
                    palette=common_pb2.Palette(shares=shares(SPACE, sample_palette(request.seed, index, bounds))),
                    origin=common_pb2.PALETTE_ORIGIN_SAMPLED,
                    index=index,
                )
                for index in range(request.first_index, request.first_index + request.count)
            ]
            return palette_service_pb2.SamplePalettesResponse(bundle=self.fakes.identity, palettes=palettes)


class LayoutService(layout_service_pb2_grpc.LayoutServiceServicer):
    def __init__(self, fakes: Fakes) -> None:
        self.fakes = fakes

    async def GenerateLayouts(self, request, context):
        async with self.fakes.call(request, context):
            layouts = []
            for i, item in enumerate(request.items):
                try:
                    palette = palette_from_shares(SPACE, item.palette.shares, f"items[{i}].palette")
                except InvalidInputError as error:
                    await abort(context, bad_request(error))
                labels = draw_layout(palette, item.index)
                achieved = histogram(labels, SPACE.num_classes)
                layouts.append(
                    layout_service_pb2.GeneratedLayout(
                        layout=label_map(labels),
                        achieved=common_pb2.Palette(shares=shares(SPACE, achieved)),
                        kl=float(kl_divergence(palette, achieved)),
                    )
                )
            return layout_service_pb2.GenerateLayoutsResponse(
                bundle=self.fakes.identity, layouts=layouts, engine=ENGINE
            )

    async def EditLayouts(self, request, context):
        async with self.fakes.call(request, context):
            if len(request.items) > self.fakes.max_items:
                refusal = InvalidInputError("items", len(request.items), f"1 to {self.fakes.max_items} is allowed")
                await abort(context, bad_request(refusal))
            answers = []
            for i, item in enumerate(request.items):
                labels = decode_png(item.layout.data, SPACE.num_classes)
                try:
                    edited, region, _ = draw_edit(labels, item.edit, item.index, f"items[{i}].edit")
                except InvalidInputError as error:
                    await abort(context, bad_request(error))
                answers.append(layout_service_pb2.EditedLayout(layout=label_map(edited), region=region_shares(region)))
            return layout_service_pb2.EditLayoutsResponse(bundle=self.fakes.identity, layouts=answers, engine=ENGINE)


class ImageService(image_service_pb2_grpc.ImageServiceServicer):
    def __init__(self, fakes: Fakes) -> None:
        self.fakes = fakes

    async def TranslateLayouts(self, request, context):
        async with self.fakes.call(request, context):
            images = [
                common_pb2.Image(
                    format=common_pb2.IMAGE_FORMAT_PNG,
                    height=HEIGHT,
                    width=WIDTH,
                    data=draw_image(decode_png(item.layout.data, SPACE.num_classes)),
                )
                for item in request.items
            ]
            return image_service_pb2.TranslateLayoutsResponse(bundle=self.fakes.identity, images=images, engine=ENGINE)


class FactoryService(factory_service_pb2_grpc.FactoryServiceServicer):
    def __init__(self, fakes: Fakes) -> None:
        self.fakes = fakes

    async def GeneratePairs(self, request, context):
        async with self.fakes.call(request, context) as fault:
            try:
                bounds = read_constraints(request.sampling.constraints).bounds(SPACE)
                given = [
                    palette_from_shares(SPACE, palette.shares, f"palettes[{i}]")
                    for i, palette in enumerate(request.palettes.palettes)
                ]
            except InvalidInputError as error:
                await abort(context, bad_request(error))
            for index in range(request.first_index, request.first_index + request.count):
                if index == self.fakes.skip_index:
                    continue
                if fault is not None and index == request.first_index + fault.after:
                    await abort(context, fault)
                await asyncio.sleep(self.fakes.delay)
                self.fakes.produced += 1
                if request.WhichOneof("source") == "layouts":
                    layouts = request.layouts.layouts
                    labels = decode_png(layouts[index % len(layouts)].data, SPACE.num_classes)
                    palette, origin = histogram(labels, SPACE.num_classes), common_pb2.PALETTE_ORIGIN_MEASURED
                elif given:
                    palette, origin = given[index % len(given)], common_pb2.PALETTE_ORIGIN_GIVEN
                    labels = draw_layout(palette, index)
                else:
                    palette = sample_palette(request.seed, index, bounds)
                    origin = common_pb2.PALETTE_ORIGIN_SAMPLED
                    labels = draw_layout(palette, index)
                yield factory_service_pb2.GeneratePairsResponse(
                    pair=self._pair(request, index, palette, origin, labels)
                )

    async def EditPairs(self, request, context):
        async with self.fakes.call(request, context) as fault:
            for index in range(request.first_index, request.first_index + request.count):
                if index == self.fakes.skip_index:
                    continue
                if fault is not None and index == request.first_index + fault.after:
                    await abort(context, fault)
                await asyncio.sleep(self.fakes.delay)
                self.fakes.produced += 1
                position = index % len(request.sources)
                source = request.sources[position]
                labels = decode_png(source.layout.data, SPACE.num_classes)
                try:
                    edited, region, mask = draw_edit(labels, source.edit, index, f"sources[{position}].edit")
                except InvalidInputError as error:
                    await abort(context, bad_request(error))
                palette = frame_palette(labels, mask, region.requested)
                pair = self._pair(request, index, palette, common_pb2.PALETTE_ORIGIN_EDITED, edited)
                pair.image.data = compose(source.image.data, edited, mask)
                pair.provenance.edit.CopyFrom(
                    factory_service_pb2.EditOrigin(
                        seed=source.seed,
                        index=source.index,
                        source=position,
                        labels_sha256=hashlib.sha256(labels.tobytes()).hexdigest(),
                        image_sha256=hashlib.sha256(source.image.data).hexdigest(),
                        edit=source.edit,
                    )
                )
                yield factory_service_pb2.EditPairsResponse(pair=pair, region=region_shares(region))

    def _pair(self, request, index, palette, origin, labels):
        achieved = histogram(labels, SPACE.num_classes)
        return factory_service_pb2.Pair(
            layout=label_map(labels),
            image=common_pb2.Image(
                format=common_pb2.IMAGE_FORMAT_PNG,
                height=HEIGHT,
                width=WIDTH,
                data=draw_image(labels) + bytes(self.fakes.padding),
            ),
            requested=common_pb2.Palette(shares=shares(SPACE, palette)),
            achieved=common_pb2.Palette(shares=shares(SPACE, achieved)),
            kl=float(kl_divergence(palette, achieved)),
            provenance=factory_service_pb2.Provenance(
                bundle=self.fakes.identity,
                seed=request.seed,
                index=index,
                adherence=getattr(request, "adherence", common_pb2.ADHERENCE_NATURAL),
                deterministic=request.deterministic,
                palette_origin=origin,
                layout_engine=ENGINE,
                image_engine=ENGINE,
                service_version="0.1.0",
            ),
        )


def fake_pair(index: int, palette: np.ndarray | None = None, seed: int = 0) -> Pair:
    """A pair as a client returns it, without a service."""
    if palette is None:
        palette = sample_palette(seed, index, Constraints().bounds(SPACE))
    labels = draw_layout(palette, index)
    achieved = histogram(labels, SPACE.num_classes)
    engine = EngineIdentity("fake", "1.0", "fp32", "0" * 64)
    return Pair(
        index=index,
        labels=labels,
        label_data=encode_png(labels),
        image_data=draw_image(labels),
        image_format="png",
        requested=palette,
        achieved=achieved,
        kl=float(kl_divergence(palette, achieved)),
        provenance=Provenance(
            bundle=BundleIdentity("fake", "1", DIGEST),
            seed=seed,
            index=index,
            adherence=Adherence.NATURAL,
            deterministic=False,
            palette_origin=PaletteOrigin.SAMPLED,
            layout_engine=engine,
            image_engine=engine,
            service_version="0.1.0",
        ),
    )


def label_map(labels: np.ndarray) -> common_pb2.LabelMap:
    return common_pb2.LabelMap(
        encoding=common_pb2.LABEL_ENCODING_PNG, height=HEIGHT, width=WIDTH, data=encode_png(labels)
    )


@asynccontextmanager
async def serving(fakes: Fakes, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Serves the fakes in the running event loop and yields their address."""
    server = grpc.aio.server()
    palette_service_pb2_grpc.add_PaletteServiceServicer_to_server(PaletteService(fakes), server)
    layout_service_pb2_grpc.add_LayoutServiceServicer_to_server(LayoutService(fakes), server)
    image_service_pb2_grpc.add_ImageServiceServicer_to_server(ImageService(fakes), server)
    factory_service_pb2_grpc.add_FactoryServiceServicer_to_server(FactoryService(fakes), server)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield address if address.startswith("unix:") else f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def settled(fakes: Fakes) -> None:
    """Waits until no call is in flight; fails after 5 s."""
    for _ in range(500):
        if fakes.in_flight == 0:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{fakes.in_flight} calls are still in flight")


async def main(address: str, delay: float, log: Path) -> None:
    """Serves in a process of its own until it is killed."""
    async with serving(Fakes(delay=delay, log=log), address) as actual:
        print(actual, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    import sys

    asyncio.run(main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])))
