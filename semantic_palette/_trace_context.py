"""Joining the trace of an application that uses OpenTelemetry; nothing where it does not."""

import sys


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """Returns gRPC metadata that name the active span of the application, in the form of its propagators.

    Empty unless the application itself has imported OpenTelemetry: without that there is no span to name.
    """
    if "opentelemetry.trace" not in sys.modules:
        return ()
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return tuple((key.lower(), value) for key, value in carrier.items())
