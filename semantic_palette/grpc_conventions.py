"""What clients and services agree on about gRPC itself: limits, keepalive, trailers and the form of addresses."""

import ipaddress
import re

from semantic_palette.errors import InvalidInputError

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message in either direction, in bytes; gRPC's own default for received messages is 4 MiB."""

CONNECTION_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
"""Options of either end of a connection. A server has to allow pings as frequent as these."""

STATUS_DETAILS_KEY = "grpc-status-details-bin"
"""Trailer that holds a serialised `google.rpc.Status`."""

PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""Trailer that says after how many milliseconds to try again; negative forbids it (gRFC A6)."""

_SCHEMES = ("dns:", "unix:", "unix-abstract:", "ipv4:", "ipv6:", "passthrough:")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/]+):(\d{1,5})")


def channel_target(address: str) -> str:
    """Returns the gRPC target of an address.

    `HOST:PORT` becomes `dns:///HOST:PORT`, so that every address behind the name (a headless Service) gets its share of
    the calls; a target with a scheme (`unix:/path`, `dns:///...`, `ipv4:...`) is taken as it is.

    Raises:
        InvalidInputError: the address is neither.
    """
    if address.startswith(_SCHEMES):
        return address
    match = _HOST_PORT.fullmatch(address)
    if match is None or not 0 < int(match[2]) < 65536:
        raise InvalidInputError("address", address, "HOST:PORT with a port from 1 to 65535, or unix:/path")
    return f"dns:///{address}"


def is_loopback(host: str) -> bool:
    """Whether a host's name or address (`[::1]` or `::1`) is this machine's own, which nobody else can listen to."""
    host = host.strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def stays_on_machine(address: str) -> bool:
    """Whether calls to an address, as `channel_target` takes it, stay on this machine: on a socket or the loopback."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    scheme = next((scheme for scheme in _SCHEMES if address.startswith(scheme)), "")
    authority, _, path = address.removeprefix(scheme).rpartition("/")
    if authority.strip("/"):
        return False  # A name server of the address's choice says where the host is, were it localhost.
    hosts = path.split(",")
    return all(is_loopback(host.rpartition(":")[0] or host) for host in hosts)
