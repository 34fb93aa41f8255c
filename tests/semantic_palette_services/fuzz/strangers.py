"""Connections that speak no gRPC: noise, another protocol, or nothing at all."""

from __future__ import annotations

import socket
from random import Random

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
_SPEECHES = (
    b"",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the beginning of a TLS handshake
    _PREFACE,
    _PREFACE[:10],
    _PREFACE + _SETTINGS + b"\xff\xff\xff\x01\x05\0\0\0\x01",  # headers of 16 MiB that do not come
    _PREFACE + _SETTINGS + b"\0\0\x04\x08\0\0\0\0\0\xff\xff\xff\xff" * 20,  # more window than there can be
    _PREFACE + _SETTINGS + b"\0\0\x08\x06\0\0\0\0\0pingpong" * 200,
)


def approach(port: int, seed: int, visits: int) -> None:
    """Connect so many times, say something that is no call, and leave, half of the times without a goodbye."""
    rng = Random(seed)
    waiting: list[socket.socket] = []
    for visit in range(visits):
        stranger = socket.create_connection(("127.0.0.1", port), timeout=10)
        waiting.append(stranger)
        noise = rng.randbytes(rng.choice((1, 9, 1000, 50_000)))
        speech = _SPEECHES[visit % len(_SPEECHES)] if rng.random() < 0.7 else _PREFACE + _SETTINGS + noise
        try:
            stranger.sendall(speech)
        except OSError:
            continue  # shown the door
    for stranger in waiting[::2]:
        # Off with a reset instead of a goodbye.
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    for stranger in waiting:
        stranger.close()
