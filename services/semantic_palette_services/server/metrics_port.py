"""The port that Prometheus scrapes."""

from __future__ import annotations

from types import TracebackType

from prometheus_client import CollectorRegistry, disable_created_metrics, start_http_server


class MetricsPort:
    """Serves a registry over HTTP, from a thread of its own, until it is closed.

    Args:
        host: address to listen on.
        port: port to listen on; 0 for any that is free.
        registry: what is scraped.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        # A creation time beside every counter and histogram doubles the series, and nothing asks for it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._server, self._thread = start_http_server(port, host, registry)
        self.port: int = self._server.server_port

    def __enter__(self) -> MetricsPort:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
