"""The asyncio client."""

import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from semantic_palette import _conversions as convert
from semantic_palette import _edit_conversions as edits
from semantic_palette import _requests as requests
from semantic_palette._channel import Connection
from semantic_palette._client_types import (
    BundleDescription,
    EditBatch,
    EditItem,
    EditSource,
    ImageBatch,
    ImageFormat,
    ImageItem,
    LayoutBatch,
    LayoutItem,
    LayoutLike,
    PaletteLike,
    SampledPalette,
)
from semantic_palette._pair_stream import Call, PairStream, Request, StreamedPair
from semantic_palette._retry import Attempts, RetryPolicy, call_unary
from semantic_palette._service_errors import ClientClosedError
from semantic_palette._trace_context import trace_metadata
from semantic_palette.constraints import Constraints
from semantic_palette.credentials import Credentials
from semantic_palette.errors import InvalidInputError
from semantic_palette.pair import Adherence, EditedPair, Pair
from semantic_palette.priority import Priority


class AsyncClient:
    """Talks to the services at one address, from one event loop.

    Use it as an async context manager, or call `aclose`: both cancel whatever is still under way.

    Args:
        address: `HOST:PORT`, or a gRPC target such as `unix:/path`.
        timeout: seconds for each call, retries included. Default: none. Streams have a timeout of their own.
        retry: when and how often a failed call is tried again.
        credentials: the token and the TLS of the connection. Default: neither.

    Raises:
        InvalidInputError: the address cannot be one, or a token would cross a network to it in plaintext.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self._credentials = credentials or Credentials()
        self._credentials.check(address)
        self._address = address
        self._timeout = requests.check_timeout(timeout)
        self._retry = retry or RetryPolicy()
        self._opened: Connection | None = None
        self._closed = False
        self._streams: weakref.WeakSet[PairStream[Any]] = weakref.WeakSet()
        self._bundles: dict[str, BundleDescription] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancels calls and streams that are under way and closes the connections. Closing twice is allowed."""
        self._closed = True
        for stream in list(self._streams):
            await stream.aclose()
        if self._opened is not None:
            await self._opened.channel.close()
            self._opened = None

    async def label_space(
        self, bundle: str | None = None, *, digest: str | None = None, version: str | None = None
    ) -> BundleDescription:
        """Asks for the classes and the image size of a bundle (default: the service's default bundle).

        Its `identity.digest` pins other calls to the version that is described here: the active one, or `version`.
        """
        attempts = self._attempts(self._timeout, pinned=digest is not None or version is not None)
        return await self._describe(bundle, digest, attempts, version)

    async def sample_palettes(
        self,
        count: int,
        *,
        seed: int = 0,
        first_index: int = 0,
        constraints: Constraints | None = None,
        bundle: str | None = None,
        digest: str | None = None,
    ) -> list[SampledPalette]:
        """Draws palettes from the bundle's palette model; draw i depends on (bundle, seed, i, constraints) alone."""
        request = requests.palettes_request(requests.selector(bundle, digest), count, seed, first_index, constraints)
        attempts = self._attempts(self._timeout, pinned=digest is not None)
        response = await call_unary(lambda: self._connection.palette.SamplePalettes, request, attempts)
        space = (await self._describe(response.bundle.name, response.bundle.digest, attempts)).label_space
        return [convert.sampled_palette_from_proto(palette, space) for palette in response.palettes]

    async def generate_layouts(
        self,
        items: Sequence[LayoutItem],
        *,
        adherence: Adherence | str = Adherence.NATURAL,
        deterministic: bool = False,
        constraints: Constraints | None = None,
        priority: Priority | str | None = None,
        bundle: str | None = None,
        digest: str | None = None,
    ) -> LayoutBatch:
        """Generates one layout an item; `constraints` round the pixel budgets of EXACT adherence.

        As in all calls that are not streams, the default priority is INTERACTIVE.
        """
        attempts = self._attempts(self._timeout, pinned=True)
        description = await self._describe(bundle, digest, attempts)
        selector = requests.selector(bundle, description.identity.digest)
        request = requests.layouts_request(
            selector, items, description.label_space, adherence, deterministic, constraints, priority
        )
        response = await call_unary(lambda: self._connection.layout.GenerateLayouts, request, attempts)
        layouts = [convert.generated_layout_from_proto(layout, description) for layout in response.layouts]
        return LayoutBatch(
            convert.bundle_from_proto(response.bundle), convert.engine_from_proto(response.engine), layouts
        )

    async def translate_layouts(
        self,
        items: Sequence[ImageItem],
        *,
        deterministic: bool = False,
        image_format: ImageFormat = "png",
        image_quality: int = 0,
        priority: Priority | str | None = None,
        bundle: str | None = None,
        digest: str | None = None,
    ) -> ImageBatch:
        """Translates one layout an item to an image; `image_quality` (1 to 100, default 95) is for JPEG."""
        request = requests.images_request(
            requests.selector(bundle, digest), items, deterministic, image_format, image_quality, priority
        )
        attempts = self._attempts(self._timeout, pinned=digest is not None)
        response = await call_unary(lambda: self._connection.image.TranslateLayouts, request, attempts)
        images = [convert.image_from_proto(image) for image in response.images]
        return ImageBatch(
            convert.bundle_from_proto(response.bundle), convert.engine_from_proto(response.engine), images
        )

    async def edit_layouts(
        self,
        items: Sequence[EditItem],
        *,
        deterministic: bool = False,
        priority: Priority | str | None = None,
        bundle: str | None = None,
        digest: str | None = None,
    ) -> EditBatch:
        """Edits one layout an item within its region; outside of it nothing changes. Adherence is natural."""
        attempts = self._attempts(self._timeout, pinned=True)
        description = await self._describe(bundle, digest, attempts)
        selector = requests.selector(bundle, description.identity.digest)
        request = requests.edits_request(selector, items, deterministic, priority)
        response = await call_unary(lambda: self._connection.layout.EditLayouts, request, attempts)
        layouts = [edits.edited_layout_from_proto(layout, description) for layout in response.layouts]
        return EditBatch(
            convert.bundle_from_proto(response.bundle), convert.engine_from_proto(response.engine), layouts
        )

    def generate_pairs(
        self,
        count: int,
        *,
        seed: int = 0,
        first_index: int = 0,
        palettes: Sequence[PaletteLike] | None = None,
        constraints: Constraints | None = None,
        layouts: Sequence[LayoutLike] | None = None,
        adherence: Adherence | str = Adherence.NATURAL,
        deterministic: bool = False,
        image_format: ImageFormat = "png",
        image_quality: int = 0,
        priority: Priority | str | None = None,
        bundle: str | None = None,
        digest: str | None = None,
        timeout: float | None = None,
    ) -> PairStream[Pair]:
        """Streams pairs `first_index` to `first_index + count - 1`.

        Args:
            count: how many pairs.
            seed: seed of palettes, layouts and appearance.
            first_index: index of the first pair.
            palettes: pair i follows palette i modulo their number.
            constraints: bounds on palettes that the bundle's palette model draws. Default: none.
            layouts: pair i shows layout i modulo their number. At most one of the three may be given.
            adherence: NATURAL follows a palette closely, EXACT to the pixel.
            deterministic: the same bytes for the same (bundle, seed, index); else results may differ by rounding.
            image_format: png, jpeg, webp or raw.
            image_quality: 1 to 100 for JPEG; 0 is the service's default, 95.
            priority: INTERACTIVE goes before everything that is BULK. Default: BULK.
            bundle: name of the bundle. Default: the service's default bundle.
            digest: digest of the bundle. Default: the active one, and the stream stays on it.
            timeout: seconds for the whole stream. Default: none.

        Raises:
            InvalidInputError: an argument cannot be sent. What only the service can judge is raised by the stream.
        """
        if sum(source is not None for source in (palettes, constraints, layouts)) > 1:
            raise InvalidInputError("palettes", "more than one source", "one of palettes, constraints and layouts")
        request = requests.pairs_request(
            requests.selector(bundle, digest),
            count,
            seed,
            first_index,
            constraints,
            layouts,
            adherence,
            deterministic,
            image_format,
            image_quality,
            priority,
        )

        def add_palettes(description: BundleDescription) -> None:
            if palettes is not None:
                shares = convert.palettes_to_proto(palettes, description.label_space)
                request.palettes.SetInParent()
                request.palettes.palettes.extend(shares)

        return self._stream(
            request,
            add_palettes,
            lambda: self._connection.factory.GeneratePairs,
            lambda response, description: convert.pair_from_proto(response.pair, description),
            requests.check_timeout(timeout),
        )

    def edit_pairs(
        self,
        sources: Sequence[EditSource],
        count: int | None = None,
        *,
        seed: int = 0,
        first_index: int = 0,
        deterministic: bool = False,
        image_format: ImageFormat = "png",
        image_quality: int = 0,
        priority: Priority | str | None = None,
        bundle: str | None = None,
        digest: str | None = None,
        timeout: float | None = None,
    ) -> PairStream[EditedPair]:
        """Streams edits `first_index` to `first_index + count - 1`; edit i is of source i modulo their number.

        Outside of the regions neither layouts nor images change; JPEG images are encoded anew.

        Args:
            sources: the pairs to edit.
            count: how many edited pairs. Default: one of each source.
            seed: seed of the edits; their looks have the seeds of the sources.
            first_index: index of the first edit.
            deterministic: the same bytes for the same (bundle, source, seed, index).
            image_format: png, jpeg, webp or raw.
            image_quality: 1 to 100 for JPEG; 0 is the service's default, 95.
            priority: INTERACTIVE goes before everything that is BULK. Default: BULK.
            bundle: name of the bundle. Default: the service's default bundle.
            digest: digest of the bundle. Default: the active one, and the stream stays on it.
            timeout: seconds for the whole stream. Default: none.

        Raises:
            InvalidInputError: an argument cannot be sent. What only the service can judge is raised by the stream.
        """
        if not sources:
            raise InvalidInputError("sources", [], "at least one pair")
        request = requests.pair_edits_request(
            requests.selector(bundle, digest),
            sources,
            len(sources) if count is None else count,
            seed,
            first_index,
            deterministic,
            image_format,
            image_quality,
            priority,
        )
        return self._stream(
            request,
            lambda description: None,
            lambda: self._connection.factory.EditPairs,
            edits.edited_pair_from_proto,
            requests.check_timeout(timeout),
        )

    def _stream(
        self,
        request: Request,
        complete: Callable[[BundleDescription], None],
        method: Callable[[], Callable[..., Call]],
        read: Callable[[Any, BundleDescription], StreamedPair],
        timeout: float | None,
    ) -> PairStream[StreamedPair]:
        """A stream of `method`; `complete` adds to the request what only the bundle's description allows to say."""
        selector = request.bundle

        async def prepare(attempts: Attempts) -> tuple[Request, BundleDescription]:
            description = await self._describe(selector.name, selector.digest, attempts)
            # Pinned from the first call on, so that a resumed stream cannot mix two versions of a bundle.
            selector.digest = description.identity.digest
            complete(description)
            return request, description

        def open_call(request: Request, remaining: float | None) -> Call:
            return method()(request, timeout=remaining, metadata=trace_metadata())

        def begin(stream: PairStream[Any]) -> Attempts:
            self._streams.add(stream)  # no earlier: a stream may be made in another thread than the one that reads it
            return self._attempts(timeout, pinned=True)

        return PairStream(prepare, open_call, begin, read)

    async def _describe(
        self, bundle: str | None, digest: str | None, attempts: Attempts, version: str | None = None
    ) -> BundleDescription:
        if digest and not version and digest in self._bundles:
            return self._bundles[digest]
        request = requests.label_space_request(bundle, digest, version)
        description = convert.description_from_proto(
            await call_unary(lambda: self._connection.palette.GetLabelSpace, request, attempts)
        )
        self._bundles[description.identity.digest] = description
        return description

    def _attempts(self, timeout: float | None, *, pinned: bool) -> Attempts:
        return Attempts(self._retry, self._address, timeout=timeout, pinned=pinned)

    @property
    def _connection(self) -> Connection:
        if self._closed:
            raise ClientClosedError("the client is closed")
        if self._opened is None:  # not in __init__: a channel belongs to the running event loop
            self._opened = Connection(self._address, self._credentials)
        return self._opened
