"""Logs as one JSON object a line, with the standard library."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from semantic_palette_services.tracing import current_span


class JsonFormatter(logging.Formatter):
    """Time (UTC), level, logger, message and, where there are some, ids of trace and span, the record's ``fields``
    (``logger.info(..., extra={"fields": {...}})``) and the traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        span = current_span()
        if span is not None:
            entry |= {"trace_id": span.trace_id, "span_id": span.span_id}
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        # ASCII alone, because readers of lines take more than line feeds for the end of one.
        return json.dumps(entry)


def configure_logging(level: str) -> None:
    """Send all logs of this process to standard error as JSON.

    Args:
        level: the least severe level that is logged, such as "info".
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
