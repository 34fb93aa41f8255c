"""A load generator: open-loop Poisson arrivals, with callers that give up and calls that must be refused.

`arrivals`, `recorder`, `runner`, `report` and `saturation` know no transport: they drive anything that is an
`async def send(call) -> status`. `service_calls` makes those for our services, and `session` puts both together for
`semantic-palette loadtest`.
"""

from semantic_palette.loadtest.arrivals import Arrival, Kind, poisson_arrivals
from semantic_palette.loadtest.recorder import OK, Outcome, Recorder
from semantic_palette.loadtest.report import Latency, Report, summarise
from semantic_palette.loadtest.runner import Call, Send, run_load
from semantic_palette.loadtest.saturation import Saturation, find_saturation

__all__ = [
    "OK",
    "Arrival",
    "Call",
    "Kind",
    "Latency",
    "Outcome",
    "Recorder",
    "Report",
    "Saturation",
    "Send",
    "find_saturation",
    "poisson_arrivals",
    "run_load",
    "summarise",
]
