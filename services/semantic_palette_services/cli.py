"""Commands that this package adds to ``semantic-palette``: serve, status, models, tokens.

Only what needs no extra is imported here: the commands import the rest when they run, so that ``--help`` always works.
Errors are left to the command line, which makes messages and exit codes of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from semantic_palette.cli.connection import (
    CaOption,
    CertificateOption,
    KeyOption,
    PlaintextTokenOption,
    TokenFileOption,
    connection,
)
from semantic_palette_services.access.callers import Scope
from semantic_palette_services.models.commands import model_commands


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(serve)
    app.command()(status)
    app.add_typer(model_commands(), name="models")
    tokens = typer.Typer(help="Tokens for the services.", no_args_is_help=True)
    tokens.command("new")(new_token)
    app.add_typer(tokens, name="tokens")


def serve(
    services: Annotated[
        str | None, typer.Option(help="palette,layout,image,factory,openinference or some of them.")
    ] = None,
    model_store: Annotated[Path | None, typer.Option(help="Folder of the bundles.")] = None,
    bundle: Annotated[
        str | None, typer.Option(help="NAME, NAME/VERSION or NAME/VERSION@SHA256, or several with commas.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="auto, onnxruntime, openvino or openvino-bf16.")] = None,
    host: Annotated[str | None, typer.Option(help="Address that the ports listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the services.")] = None,
    health_port: Annotated[int | None, typer.Option(help="Port of grpc.health.v1 for the kubelet.")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Port that Prometheus scrapes.")] = None,
    admin_port: Annotated[int | None, typer.Option(help="Port of the admin services; default: none.")] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="Certificate with its chain, PEM: the services use TLS.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Private key of --tls-certificate, PEM.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="CAs whose certificates clients must have, PEM: mutual TLS.")
    ] = None,
    auth_tokens: Annotated[
        Path | None, typer.Option(help="JSON file of the tokens that callers need, with their quotas.")
    ] = None,
    palette_address: Annotated[str | None, typer.Option(help="Palette service of the factory.")] = None,
    layout_address: Annotated[str | None, typer.Option(help="Layout service of the factory.")] = None,
    image_address: Annotated[str | None, typer.Option(help="Image service of the factory.")] = None,
    otlp_endpoint: Annotated[str | None, typer.Option(help="Collector of traces, http://HOST:PORT.")] = None,
) -> None:
    """Serve bundles over gRPC until SIGTERM or Ctrl-C, then finish what was accepted.

    What is not given here is read from SEMANTIC_PALETTE_ environment variables, such as SEMANTIC_PALETTE_BUNDLE.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    import asyncio

    from semantic_palette_services.server.logs import configure_logging
    from semantic_palette_services.server.main import serve as serve_until_stopped
    from semantic_palette_services.server.settings import read_settings

    settings = read_settings(**given)
    configure_logging(settings.log_level)
    asyncio.run(serve_until_stopped(settings))


def status(
    address: Annotated[str, typer.Option(help="HOST:PORT of the services.")] = "127.0.0.1:50051",
    admin_address: Annotated[
        str | None, typer.Option(help="HOST:PORT of the admin port: show what the process does, and why.")
    ] = None,
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    plaintext_token: PlaintextTokenOption = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show which services answer at an address, and which bundle. Exits with 1 unless all that are there serve.

    With the admin address also queues, batches, engines and why they were chosen.
    """
    import asyncio
    import json

    from rich.console import Console

    from semantic_palette_services.server.status import read_status
    from semantic_palette_services.server.status_client import read_process_status
    from semantic_palette_services.server.status_tables import status_json, status_tables

    credentials = connection(token_file, ca, certificate, key, plaintext_token)
    report = asyncio.run(read_status(address, timeout, credentials))
    console = Console(highlight=False, markup=False)
    if not as_json:
        console.print(report.table())
    process = None if admin_address is None else asyncio.run(read_process_status(admin_address, timeout, credentials))
    if as_json:
        known = {} if process is None else {"process": status_json(process)}
        typer.echo(json.dumps(report.to_json() | known, indent=2))
    elif process is not None:
        for table in status_tables(process):
            console.print(table)
    if not report.serving:
        raise typer.Exit(1)


def new_token(
    name: Annotated[str, typer.Argument(help="What logs and messages call the token.")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it is good for; repeatable. Default: generate.")
    ] = None,
) -> None:
    """Make a token: the token goes to standard output, once; its entry for the file of tokens to standard error."""
    import json

    from semantic_palette_services.access.tokens import new_token as make_token

    token, entry = make_token(name, set(scope or [Scope.GENERATE]))
    typer.echo(token)
    typer.echo(json.dumps(entry, indent=2), err=True)
