"""The state of a server, as its StatusService tells it: tables for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from google.protobuf import json_format
from rich.table import Table

from semantic_palette.v1 import common_pb2
from semantic_palette.v1 import status_service_pb2 as pb

NONE = "-"


def status_json(status: pb.GetStatusResponse) -> dict[str, Any]:
    """Protobuf's JSON of the state, with every field and the names of the contract; 64-bit counts are strings in it."""
    return json_format.MessageToDict(
        status, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def status_tables(status: pb.GetStatusResponse) -> Iterator[Table]:
    """A table of the process, then for each bundle what its models do and which engines were considered for them."""
    yield _process(status)
    for bundle in status.bundles:
        name = f"{bundle.bundle.name}/{bundle.bundle.version}"
        if bundle.models:
            yield _work(f"{name}: models; rates are those of the last minute", bundle.models)
            yield _engines(f"{name}: engines", bundle.models)


def _process(status: pb.GetStatusResponse) -> Table:
    table = Table(title="process", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("version", status.server_version)
    table.add_row("up", str(timedelta(seconds=round(status.uptime_seconds))))
    table.add_row("ready", "yes" if status.ready else "no")
    table.add_row("services", ", ".join(name.rpartition(".")[2] for name in status.services))
    table.add_row("open calls", str(status.open_calls))
    table.add_row("device busy", _percent(status.device_busy_share))
    table.add_row("engine restarts", _counts(status.restarts).replace("\n", ", "))
    for bundle in status.bundles:
        name = f"{bundle.bundle.name}/{bundle.bundle.version}"
        table.add_row("bundle", f"{name} is {bundle.state}, {bundle.requests} requests, digest {bundle.bundle.digest}")
    table.add_row("libraries", ", ".join(f"{name} {version}" for name, version in sorted(status.libraries.items())))
    return table


_ROWS: tuple[tuple[str, Callable[[pb.ModelStatus], str]], ...] = (
    ("engine", lambda model: _engine(model.engine)),
    ("deterministic", lambda model: _engine(model.deterministic_engine)),
    ("alive", lambda model: "yes" if model.healthy else "no"),
    ("waiting", lambda model: _lines(f"{count} {priority}" for priority, count in sorted(model.waiting.items()))),
    ("in flight", lambda model: str(model.inflight)),
    ("batches a second", lambda model: _rate(model.recent.batches, model.recent)),
    ("items a second", lambda model: _rate(model.recent.items, model.recent)),
    ("device busy", lambda model: _percent(_share(model.recent.busy_seconds, model.recent.seconds))),
    ("largest batch", lambda model: str(model.max_batch_size)),
    ("batches by size", lambda model: _counts({str(size): n for size, n in sorted(model.batch_sizes.items())})),
    ("mean batch", lambda model: _mean_size(model.batch_sizes)),
    ("failed batches", lambda model: str(model.failed_batches)),
    ("ms a batch of n", lambda model: _lines(_fit(fit) for fit in model.fits)),
    ("shed", lambda model: _counts(model.sheds)),
    ("given up", lambda model: _counts(model.cancelled)),
)


def _work(title: str, models: Sequence[pb.ModelStatus]) -> Table:
    table = Table("", *(model.operation for model in models), title=title, title_justify="left")
    for name, cell in _ROWS:
        table.add_row(name, *(cell(model) for model in models))
    return table


def _engines(title: str, models: Sequence[pb.ModelStatus]) -> Table:
    table = Table("engine", "answers", "why", title=title, title_justify="left")
    for model in models:
        table.add_row(model.operation)
        for candidate in model.candidates:
            table.add_row(f"  {candidate.engine}", _answers(candidate), _reason(candidate))
        table.add_section()
    return table


def _answers(candidate: pb.EngineCandidate) -> str:
    if candidate.chosen:
        return "all" if candidate.deterministic else "ordinary"
    return "deterministic" if candidate.deterministic else NONE


def _reason(candidate: pb.EngineCandidate) -> str:
    if not candidate.accepted:
        return f"refused: {candidate.reason}"
    times = (f"{1e3 * seconds:.3g} ms a batch of {n}" for n, seconds in sorted(candidate.batch_seconds.items()))
    return f"{', '.join(times)}; {candidate.reason}"


def _engine(engine: common_pb2.EngineIdentity) -> str:
    return f"{engine.engine} {engine.engine_version} {engine.precision}"


def _fit(fit: pb.BatchFit) -> str:
    per_item, fixed = 1e3 * fit.seconds_per_item, 1e3 * fit.fixed_seconds
    # A deterministic item is a batch of its own: there is no n.
    return f"{per_item + fixed:.3g} deterministic" if fit.deterministic else f"{per_item:.3g} n + {fixed:.3g}"


def _rate(count: int, recent: pb.RecentWork) -> str:
    return f"{_share(count, recent.seconds):.1f}"


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _mean_size(sizes: Mapping[int, int]) -> str:
    batches = sum(sizes.values())
    return f"{sum(size * n for size, n in sizes.items()) / batches:.1f}" if batches else NONE


def _counts(counts: Mapping[str, int]) -> str:
    return _lines(f"{name}: {count}" for name, count in counts.items())


def _lines(parts: Iterator[str]) -> str:
    return "\n".join(parts) or NONE
