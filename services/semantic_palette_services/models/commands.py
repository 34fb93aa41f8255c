"""The commands ``semantic-palette models ...``: bundles of the model store, and of a server that is running.

Only what needs no extra is imported here: the commands import the rest when they run, so that ``--help`` always works.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semantic_palette.bundle_reference import BundleReference
from semantic_palette.cli.connection import (
    CaOption,
    CertificateOption,
    KeyOption,
    PlaintextTokenOption,
    TokenFileOption,
    connection,
)
from semantic_palette.errors import InvalidInputError

if TYPE_CHECKING:
    from semantic_palette.credentials import Credentials
    from semantic_palette_services.models.admin_client import AdminClient
    from semantic_palette_services.runtime.store import ModelStore

StoreOption = Annotated[
    Path, typer.Option("--model-store", envvar="SEMANTIC_PALETTE_MODEL_STORE", help="Folder of the bundles.")
]
AddressOption = Annotated[
    str | None, typer.Option(help="HOST:PORT of a server's admin port; default: the store's files.")
]
ServerOption = Annotated[str, typer.Option(help="HOST:PORT of a server's admin port.")]
TimeoutOption = Annotated[float, typer.Option(help="Seconds to wait for the server.")]
VersionArgument = Annotated[str, typer.Argument(help="NAME/VERSION, or NAME/VERSION@SHA256.")]

_STORE = Path("model_store")
_TIMEOUT = 600.0


def model_commands() -> typer.Typer:
    """The group of commands."""
    models = typer.Typer(help="Bundles of the model store, and of a running server.", no_args_is_help=True)
    models.command("list")(list_bundles)
    models.command("show")(show)
    models.command("load")(load)
    models.command("activate")(activate)
    models.command("rollback")(rollback)
    models.command("unload")(unload)
    return models


def list_bundles(
    model_store: StoreOption = _STORE,
    address: AddressOption = None,
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    plaintext_token: PlaintextTokenOption = False,
    timeout: TimeoutOption = _TIMEOUT,
) -> None:
    """List the bundles and their versions, the active one with a star; of a server also what it has in memory."""
    if address is not None:
        for line in _server(
            address, timeout, connection(token_file, ca, certificate, key, plaintext_token)
        ).list_bundles():
            typer.echo(line)
        return
    store = _store(model_store)
    for name in store.names():
        active = store.active_version(name)
        versions = " ".join(f"{version}*" if version == active else version for version in store.versions(name))
        typer.echo(f"{name}: {versions}")


def show(
    bundle: Annotated[str, typer.Argument(help="NAME or NAME/VERSION.")],
    model_store: StoreOption = _STORE,
    as_json: Annotated[bool, typer.Option("--json", help="The digest and the whole manifest, as JSON.")] = False,
) -> None:
    """Show what is in a bundle, after verifying the digest of every file."""
    import json

    from rich.console import Console

    from semantic_palette_services.bundle_summary import summary_tables

    reference = BundleReference.parse(bundle)
    files = _store(model_store).open(reference.name, reference.version, digest=reference.digest)
    if as_json:
        typer.echo(json.dumps({"digest": files.digest, "manifest": files.manifest.to_json()}, indent=2))
        return
    console = Console(highlight=False, markup=False)
    for table in summary_tables(files.manifest, files.digest):
        console.print(table)


def load(
    bundle: VersionArgument,
    address: ServerOption,
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    plaintext_token: PlaintextTokenOption = False,
    timeout: TimeoutOption = _TIMEOUT,
) -> None:
    """Load a version into a running server, for requests that pin it."""
    name, version, digest = _version(bundle)
    typer.echo(
        _server(address, timeout, connection(token_file, ca, certificate, key, plaintext_token)).load(
            name, version, digest
        )
    )


def activate(
    bundle: VersionArgument,
    model_store: StoreOption = _STORE,
    address: AddressOption = None,
    keep_previous: Annotated[
        bool, typer.Option("--keep-previous", help="The server keeps the version before in memory.")
    ] = False,
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    plaintext_token: PlaintextTokenOption = False,
    timeout: TimeoutOption = _TIMEOUT,
) -> None:
    """Make a version the active one; the version before it is kept for rollback.

    A server at --address swaps to it without losing a request. Without --address, servers take it when they start.
    """
    name, version, digest = _version(bundle)
    if address is not None:
        typer.echo(
            _server(address, timeout, connection(token_file, ca, certificate, key, plaintext_token)).activate(
                name, version, digest, keep_previous
            )
        )
        return
    if keep_previous:
        raise InvalidInputError("keep-previous", True, "only with --address is it")
    store = _store(model_store)
    store.mark_active(store.open(name, version, digest=digest or None))
    typer.echo(f"{name}: version {version} is active")


def rollback(
    name: Annotated[str, typer.Argument(help="Name of the bundle.")],
    model_store: StoreOption = _STORE,
    address: AddressOption = None,
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    plaintext_token: PlaintextTokenOption = False,
    timeout: TimeoutOption = _TIMEOUT,
) -> None:
    """Make the version that was active before the active one again."""
    if address is not None:
        typer.echo(
            _server(address, timeout, connection(token_file, ca, certificate, key, plaintext_token)).roll_back(name)
        )
        return
    version = _store(model_store).rollback(name)
    typer.echo(f"{name}: version {version} is active")


def unload(
    bundle: VersionArgument,
    address: ServerOption,
    force: Annotated[bool, typer.Option("--force", help="End the requests and streams that use it.")] = False,
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    plaintext_token: PlaintextTokenOption = False,
    timeout: TimeoutOption = _TIMEOUT,
) -> None:
    """Free the memory that a version takes in a running server."""
    name, version, _ = _version(bundle)
    typer.echo(
        _server(address, timeout, connection(token_file, ca, certificate, key, plaintext_token)).unload(
            name, version, force
        )
    )


def _version(text: str) -> tuple[str, str, str]:
    reference = BundleReference.parse(text)
    if reference.name is None or reference.version is None:
        raise InvalidInputError("bundle", text, "NAME/VERSION is")
    return reference.name, reference.version, reference.digest or ""


def _store(model_store: Path) -> ModelStore:
    from semantic_palette_services.runtime.store import ModelStore

    return ModelStore(model_store)


def _server(address: str, timeout: float, credentials: Credentials) -> AdminClient:
    from semantic_palette_services.models.admin_client import AdminClient

    return AdminClient(address, timeout, credentials)
