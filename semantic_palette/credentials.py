"""What a client shows to servers, and what it asks of them: tokens and TLS."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import grpc.aio

from semantic_palette.errors import InvalidInputError
from semantic_palette.grpc_conventions import channel_target, stays_on_machine

Metadata: TypeAlias = tuple[tuple[str, str], ...]

_MAX_FILE_BYTES = 1 << 20

_NO_PROXY = ("grpc.enable_http_proxy", 0)
"""gRPC asks the proxy that `http_proxy` in the environment names for this machine's own address as well: another
machine's address, and calls would cross the network to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A token and the TLS of a connection. By default there is neither.

    Certificates and keys are paths, or PEM itself as bytes. Files are read when a client connects. The text of this has
    no secret in it.

    Raises:
        InvalidInputError: the token cannot be sent, or one of `certificate` and `key` is missing.
    """

    token: str | None = field(default=None, repr=False)
    """Sent with every call."""
    tls: bool = False
    """Whether to use TLS; `ca` and `certificate` turn it on as well."""
    ca: Path | str | bytes | None = None
    """CAs that the server's certificate must be signed by, PEM. Default: those that gRPC brings."""
    certificate: Path | str | bytes | None = None
    """The client's own certificate, PEM, where servers ask for one (mutual TLS)."""
    key: Path | str | bytes | None = field(default=None, repr=False)
    """Private key of `certificate`, PEM."""
    plaintext_token: bool = False
    """Send the token without TLS to other machines as well: for where something else encrypts the connection."""

    def __post_init__(self) -> None:
        if self.token is not None and not (self.token and self.token.isascii() and self.token.isprintable()):
            # Not the value: it may be a token all the same.
            raise InvalidInputError("token", f"{len(self.token)} characters", "printable ASCII is allowed")
        if (self.certificate is None) != (self.key is None):
            missing = "certificate" if self.certificate is None else "key"
            raise InvalidInputError(missing, None, "certificate and key come together")

    @property
    def secure(self) -> bool:
        """Whether connections are made by TLS."""
        return self.tls or self.ca is not None or self.certificate is not None

    def check(self, address: str) -> None:
        """Checks that an address can be one, and that a token would not cross a network to it in plaintext.

        Raises:
            InvalidInputError: it cannot, or it would.
        """
        channel_target(address)
        if self.token is not None and not (self.secure or self.plaintext_token or stays_on_machine(address)):
            allowed = "a token is sent over TLS (tls or ca), to this machine, or with plaintext_token"
            raise InvalidInputError("address", address, allowed)

    def open_channel(self, address: str, options: Sequence[tuple[str, Any]] = ()) -> grpc.aio.Channel:
        """Opens a channel to an address, as `channel_target` takes it; connections are made by the first call.

        Its calls carry no token: `AuthorisedChannel` adds it.

        Raises:
            InvalidInputError: the address cannot be one, a token would cross a network to it in plaintext, or a file
                cannot be read.
        """
        self.check(address)
        if not self.secure:
            if stays_on_machine(address):
                options = (*options, _NO_PROXY)
            return grpc.aio.insecure_channel(channel_target(address), options=options)
        tls = grpc.ssl_channel_credentials(
            _read("ca", self.ca), _read("key", self.key), _read("certificate", self.certificate)
        )
        return grpc.aio.secure_channel(channel_target(address), tls, options=options)

    def metadata(self) -> Metadata:
        """What every call carries."""
        return () if self.token is None else (("authorization", f"Bearer {self.token}"),)


def read_token(path: Path, field: str = "token_file") -> str:
    """Reads a file with a token and nothing else; white space around it does not count.

    Raises:
        InvalidInputError: the file cannot be read or is empty.
    """
    content = _read(field, path) or b""
    token = content.decode("ascii", errors="replace").strip()
    if not token:
        raise InvalidInputError(field, str(path), "a file with a token is")
    return token


def _read(field: str, path: Path | str | bytes | None) -> bytes | None:
    if path is None or isinstance(path, bytes):
        return path
    try:
        with Path(path).open("rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise InvalidInputError(field, str(path), f"it cannot be read: {error.strerror}") from error


class AuthorisedChannel:
    """A channel as generated stubs use it, whose calls carry metadata. Interceptors would change the calls."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata) -> None:
        self._channel = channel
        self._metadata = metadata

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.aio.Channel.unary_unary`."""
        return _carrying(self._channel.unary_unary(*args, **kwargs), self._metadata)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.aio.Channel.unary_stream`."""
        return _carrying(self._channel.unary_stream(*args, **kwargs), self._metadata)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.aio.Channel.stream_stream`."""
        return _carrying(self._channel.stream_stream(*args, **kwargs), self._metadata)


def _carrying(method: Any, own: Metadata) -> Any:
    def call(*request: Any, metadata: Sequence[tuple[str, str | bytes]] | None = None, **kwargs: Any) -> Any:
        return method(*request, metadata=(*own, *(metadata or ())), **kwargs)

    return call
