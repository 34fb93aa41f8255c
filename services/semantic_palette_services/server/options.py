"""Options of gRPC servers."""

from __future__ import annotations

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message in either direction; gRPC's own default for received messages is 4 MiB."""

# A burst beyond gRPC's default of pending requests is answered CANCELLED, which tells a client nothing. The bounded
# queues of the models refuse far earlier, with a status that says when to come back.
_MAX_PENDING_REQUESTS = 1_000_000


def server_options(max_connection_age_seconds: float) -> list[tuple[str, int]]:
    """Options of the public server.

    Args:
        max_connection_age_seconds: connections are closed kindly after this time (calls on them finish), so that
            clients find new replicas; 0 for never.
    """
    options = [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.server.max_pending_requests", _MAX_PENDING_REQUESTS),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_REQUESTS),
        # Two servers on one port would share it silently, by connection; a second one should fail instead.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Clients ping every 30 s; more often than this answers GOAWAY "too_many_pings".
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ]
    if max_connection_age_seconds > 0:
        options.append(("grpc.max_connection_age_ms", int(max_connection_age_seconds * 1000)))
    return options
