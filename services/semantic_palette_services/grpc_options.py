"""Options of gRPC servers and of the channels between services."""

from __future__ import annotations

import json

from semantic_palette.grpc_conventions import CONNECTION_OPTIONS, MAX_MESSAGE_BYTES

# A burst beyond gRPC's default of pending requests is answered CANCELLED, which tells a client nothing. The bounded
# queues of the models refuse far earlier, with a status that says when to come back. Not any number: each takes some
# 16 KiB, whoever sends it.
_MAX_PENDING_REQUESTS = 1 << 14
# Beyond that the calls of a connection wait at the client.
_MAX_CALLS_OF_CONNECTION = 1 << 13
# Identity. A compressed message of a few bytes stands for one as large as the limit; images and layouts are compressed
# already.
_COMPRESSION_ALGORITHMS = 1


def server_options(
    max_connection_age_seconds: float, max_message_bytes: int = MAX_MESSAGE_BYTES
) -> list[tuple[str, int]]:
    """Options of a server.

    Args:
        max_connection_age_seconds: connections are closed kindly after this time (calls on them finish), so that
            clients find new replicas; 0 for never.
        max_message_bytes: largest message that is received.
    """
    options = [
        *(dict(CONNECTION_OPTIONS) | {"grpc.max_receive_message_length": max_message_bytes}).items(),
        ("grpc.server.max_pending_requests", _MAX_PENDING_REQUESTS),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_REQUESTS),
        ("grpc.max_concurrent_streams", _MAX_CALLS_OF_CONNECTION),
        ("grpc.compression_enabled_algorithms_bitset", _COMPRESSION_ALGORITHMS),
        # Two servers on one port would share it silently, by connection; a second one should fail instead.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        # Clients ping three times less often; more often than this answers GOAWAY "too_many_pings".
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ]
    if max_connection_age_seconds > 0:
        options.append(("grpc.max_connection_age_ms", int(max_connection_age_seconds * 1000)))
    return options


# RESOURCE_EXHAUSTED carries a push-back that gRPC obeys. FAILED_PRECONDITION says that a replica serves another digest:
# with round_robin the next attempt asks the next replica. CANCELLED is what a replica that stops says to calls that
# have not reached their handlers.
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "CANCELLED"],
            },
        }
    ],
}


def channel_options() -> list[tuple[str, int | str]]:
    """Options of a channel from one service to the replicas of another: balanced, kept alive, with retries."""
    return [
        *CONNECTION_OPTIONS,
        # A request larger than this buffer is not retried; the default of 256 KiB is less than a large layout.
        ("grpc.per_rpc_retry_buffer_size", MAX_MESSAGE_BYTES),
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ]
