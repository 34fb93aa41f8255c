"""Options of every command that calls services at an address: its token and its TLS."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semantic_palette.errors import InvalidInputError

if TYPE_CHECKING:
    from semantic_palette.credentials import Credentials

_PREFIX = "SEMANTIC_PALETTE_CLIENT_"

TokenFileOption = Annotated[
    Path | None,
    typer.Option("--token-file", envvar=f"{_PREFIX}TOKEN_FILE", help="File with the token for the services."),
]
CaOption = Annotated[
    str | None,
    typer.Option(
        "--ca",
        envvar=f"{_PREFIX}CA",
        metavar="FILE.pem|default",
        help="Use TLS: the CAs that the services' certificate is signed by, or default for well-known ones.",
    ),
]
CertificateOption = Annotated[
    Path | None,
    typer.Option("--certificate", envvar=f"{_PREFIX}CERTIFICATE", help="Your certificate, for mutual TLS; PEM."),
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", envvar=f"{_PREFIX}KEY", help="Private key of --certificate; PEM.")
]
PlaintextTokenOption = Annotated[
    bool,
    typer.Option(
        "--plaintext-token",
        envvar=f"{_PREFIX}PLAINTEXT_TOKEN",
        help="Send the token to other machines without TLS: for where something else encrypts the connection.",
    ),
]


def connection(
    token_file: Path | None, ca: str | None, certificate: Path | None, key: Path | None, plaintext_token: bool
) -> "Credentials":
    """The credentials that the options ask for.

    Raises:
        InvalidInputError: a file cannot be read, or options do not go together.
    """
    from semantic_palette.credentials import Credentials, read_token

    try:
        return Credentials(
            token=None if token_file is None else read_token(token_file, "--token-file"),
            tls=ca is not None,
            ca=None if ca == "default" else ca,
            certificate=certificate,
            key=key,
            plaintext_token=plaintext_token,
        )
    except InvalidInputError as error:
        if error.field in ("certificate", "key", "token"):
            raise InvalidInputError(f"--{error.field}", error.value, error.allowed) from error
        raise
