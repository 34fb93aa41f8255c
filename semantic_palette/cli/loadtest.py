"""`semantic-palette loadtest`: what services answer, and how fast, at a load that does not wait for them."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from semantic_palette.cli._errors import FAILURE
from semantic_palette.cli.connection import (
    CaOption,
    CertificateOption,
    KeyOption,
    PlaintextTokenOption,
    TokenFileOption,
    connection,
)
from semantic_palette.pair import Adherence
from semantic_palette.priority import Priority

if TYPE_CHECKING:
    from rich.table import Table

    from semantic_palette.loadtest.report import Report
    from semantic_palette.loadtest.saturation import Saturation

_REFUSALS = {"INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}
"""How an invalid call may end; an overloaded service need not have read it."""


def loadtest(
    workload: Annotated[str, typer.Argument(help="layouts, images or pairs.")],
    address: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the services are.")] = "127.0.0.1:50051",
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    plaintext_token: PlaintextTokenOption = False,
    rate: Annotated[float, typer.Option(help="Mean calls a second; the first rate of --find-saturation.")] = 10.0,
    duration: Annotated[float, typer.Option(help="Seconds that are measured.")] = 30.0,
    warmup: Annotated[float, typer.Option(help="Seconds of the same load before that.")] = 3.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of arrivals and contents.")] = 0,
    deadline: Annotated[
        float | None, typer.Option(help="Seconds that a call may take; later answers do not count. Default: any.")
    ] = None,
    cancel_fraction: Annotated[float, typer.Option(help="Share of calls whose callers give up.")] = 0.0,
    poison_fraction: Annotated[float, typer.Option(help="Share of calls that are invalid.")] = 0.0,
    items: Annotated[int, typer.Option(min=1, help="Layouts or images a call, or pairs a stream.")] = 1,
    adherence: Annotated[Adherence, typer.Option(help="Of layouts and pairs.")] = Adherence.NATURAL,
    raw: Annotated[bool, typer.Option("--raw", help="Layouts and images travel raw instead of as PNG.")] = False,
    priority: Annotated[
        Priority | None, typer.Option(help="Default: the services', bulk for pairs and interactive for others.")
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(metavar="NAME[/VERSION][@SHA256]", help="Default: the services' default bundle.")
    ] = None,
    search: Annotated[
        bool, typer.Option("--find-saturation", help="Raise the rate until goodput stops following it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Load services with calls that arrive at random, whether or not earlier ones have been answered.

    Latency counts from the moment at which a call was due. Calls are not retried. Exits with 1 when a call was lost,
    which means that it neither got an answer nor ended, or when an invalid one was not refused.
    """
    from semantic_palette.errors import InvalidInputError
    from semantic_palette.loadtest.service_calls import Content, Workload
    from semantic_palette.loadtest.session import Load, run_load_test, search_saturation

    if workload not in list(Workload):
        raise InvalidInputError("workload", workload, "one of " + ", ".join(Workload))
    content = Content(
        workload=Workload(workload), items=items, exact=adherence is Adherence.EXACT, raw=raw, priority=priority
    )
    load = Load(
        rate=rate,
        seconds=duration,
        warmup=warmup,
        seed=seed,
        deadline=deadline,
        cancel_fraction=cancel_fraction,
        poison_fraction=poison_fraction,
    )
    credentials = connection(token_file, ca, certificate, key, plaintext_token)
    if search:
        saturation = asyncio.run(search_saturation(address, content, load, bundle, credentials))
        reports = [report for _, report in saturation.steps]
        _print_saturation(saturation, as_json)
    else:
        reports = [asyncio.run(run_load_test(address, content, load, bundle, credentials))]
        _print_report(reports[0], as_json)
    if not all(keeps_its_word(report) for report in reports):
        raise typer.Exit(FAILURE)


def keeps_its_word(report: "Report") -> bool:
    """Whether no call was lost and every invalid one refused."""
    return report.lost == 0 and set(report.poison) <= _REFUSALS


def report_tables(report: "Report") -> "list[Table]":
    """A report for people."""
    from rich.table import Table

    rates = Table("calls", "offered (/s)", "answered (/s)", "goodput (/s)", "good", "lost")
    rates.add_row(
        str(report.offered),
        *(f"{rate:.1f}" for rate in (report.offered_rate, report.achieved_rate, report.goodput)),
        f"{100 * report.good_fraction:.1f} %",
        str(report.lost),
    )
    latency = Table("latency (ms)", "p50", "p90", "p99", "p99.9", "max", "lag of the client, p99")
    seconds = report.latency
    numbers = (seconds.p50, seconds.p90, seconds.p99, seconds.p999, seconds.max) if seconds else ()
    shown = [f"{1e3 * number:.1f}" for number in numbers] or ["-"] * 5
    latency.add_row("", *shown, f"{1e3 * report.client_lag_p99:.1f}")
    ends = Table("calls that were", "ended with")
    ends.add_row("valid", _counts(report.statuses))
    if report.cancelled or report.answered_before_cancel:
        ends.add_row("to be cancelled", _counts({"CANCELLED": report.cancelled} | report.answered_before_cancel))
    if report.poison:
        ends.add_row("invalid", _counts(report.poison))
    return [rates, latency, ends]


def _counts(statuses: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in statuses.items()) or "-"


def _print_report(report: "Report", as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
        return
    _print_tables(report_tables(report))


def _print_saturation(saturation: "Saturation", as_json: bool) -> None:
    if as_json:
        steps = [{"rate": rate, "report": report.to_json()} for rate, report in saturation.steps]
        found = {"rate": saturation.rate, "sustained": saturation.sustained, "steps": steps}
        typer.echo(json.dumps(found, indent=2))
        return
    from rich.table import Table

    table = Table("rate (/s)", "offered (/s)", "goodput (/s)", "p50 (ms)", "p99 (ms)", "lost")
    for rate, report in saturation.steps:
        seconds = report.latency
        shown = (f"{1e3 * seconds.p50:.1f}", f"{1e3 * seconds.p99:.1f}") if seconds else ("-", "-")
        table.add_row(f"{rate:.1f}", f"{report.offered_rate:.1f}", f"{report.goodput:.1f}", *shown, str(report.lost))
    _print_tables([table])
    typer.echo(f"saturation: {saturation.rate:.1f} calls a second; goodput followed {saturation.sustained:.1f}")


def _print_tables(tables: "list[Table]") -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    for table in tables:
        for column in table.columns[1:]:
            column.justify = "right"
        console.print(table)
