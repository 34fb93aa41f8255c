"""The client: `AsyncClient` for asyncio and `Client`, which blocks. Both are one implementation.

    with Client("localhost:50051") as client:
        for pair in client.generate_pairs(100, seed=1, constraints=Constraints(minimum={"pedestrian": 0.05})):
            ...
        box = Box(left=0, top=64, right=128, bottom=128)
        for pair in client.edit_pairs([EditSource.of(pair, target={"car": 0.2}, region=box)], 10):
            ...

Servers that ask for tokens or use TLS: `Client(address, credentials=Credentials(token=..., ca="ca.pem"))`.

UNAVAILABLE and RESOURCE_EXHAUSTED are retried (`RetryPolicy`) no earlier than the service asks; a stream that breaks
goes on from the first missing pair, on the same bundle. What was abandoned is cancelled.

Errors:

SemanticPaletteError
    InvalidInputError            an argument that cannot be sent (also a ValueError)
        InvalidRequestError      the service refused the content; `violations` names the fields (also a ServiceError)
    ServiceError                 a call failed; `code` is the gRPC status. Raised as such for statuses not named here
        InvalidRequestError      INVALID_ARGUMENT, OUT_OF_RANGE
        NotFoundError            NOT_FOUND: unknown bundle or class, or a bundle that cannot do what was asked
        BundleMismatchError      FAILED_PRECONDITION: the bundle digest that was asked for is not served
        UnauthenticatedError     UNAUTHENTICATED: no token, or one that the service does not know
        PermissionDeniedError    PERMISSION_DENIED: the token is not good for the call
        OverloadedError          RESOURCE_EXHAUSTED after the last attempt; `retry_after` is the service's hint
        UnavailableError         UNAVAILABLE after the last attempt
        DeadlineError            DEADLINE_EXCEEDED (also a TimeoutError)
    ProtocolError                an answer that breaks the contract
    ClientClosedError            the client was closed before, or while, it was used
"""

from semantic_palette._async_client import AsyncClient
from semantic_palette._client_types import (
    BundleDescription,
    EditBatch,
    EditedLayout,
    EditItem,
    EditSource,
    EncodedImage,
    GeneratedLayout,
    ImageBatch,
    ImageItem,
    LayoutBatch,
    LayoutItem,
    SampledPalette,
    StyleReference,
)
from semantic_palette._pair_stream import PairStream
from semantic_palette._retry import RetryPolicy
from semantic_palette._service_errors import (
    BundleMismatchError,
    ClientClosedError,
    DeadlineError,
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ProtocolError,
    ServiceError,
    UnauthenticatedError,
    UnavailableError,
)
from semantic_palette._sync_client import Client, PairIterator
from semantic_palette.credentials import Credentials

__all__ = [
    "AsyncClient",
    "BundleDescription",
    "BundleMismatchError",
    "Client",
    "ClientClosedError",
    "Credentials",
    "DeadlineError",
    "EditBatch",
    "EditItem",
    "EditSource",
    "EditedLayout",
    "EncodedImage",
    "FieldViolation",
    "GeneratedLayout",
    "ImageBatch",
    "ImageItem",
    "InvalidRequestError",
    "LayoutBatch",
    "LayoutItem",
    "NotFoundError",
    "OverloadedError",
    "PairIterator",
    "PairStream",
    "PermissionDeniedError",
    "ProtocolError",
    "RetryPolicy",
    "SampledPalette",
    "ServiceError",
    "StyleReference",
    "UnauthenticatedError",
    "UnavailableError",
]

for _name in __all__:
    globals()[_name].__module__ = __name__  # tracebacks show the public name
