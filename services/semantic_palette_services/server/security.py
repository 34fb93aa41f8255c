"""The secrets of a server, put together: certificates and tokens, read anew when their files change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from semantic_palette.credentials import Credentials
from semantic_palette.errors import InvalidInputError
from semantic_palette_services.access.callers import Scope
from semantic_palette_services.access.tokens import TokensError, TokenTable, parse_tokens
from semantic_palette_services.server.access_interceptor import AccessInterceptor
from semantic_palette_services.server.metrics import Metrics
from semantic_palette_services.server.reloading import Contents, Reloaded, ReloadObserver, SecretFileError, kept_fresh
from semantic_palette_services.server.settings import ServerSettings

if TYPE_CHECKING:
    from semantic_palette_services.server.tls import TlsIdentity

_TOKENS = "auth_tokens"
_STAGE_FILES = ("stage_token_file", "stage_ca", "stage_certificate", "stage_key")
_NO_CREDENTIALS = Credentials()


class Security:
    """What the listeners of one server ask of those who connect.

    Args:
        settings: paths of the files.
        metrics: is told about files that change, certificates and refusals.

    Raises:
        SecretFileError: a file cannot be used.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self._metrics = metrics
        self._public = self._identity("tls", settings, ("tls_client_ca", settings.tls_client_ca))
        self._admin: Reloaded[TlsIdentity] | None = None
        if settings.admin_port is not None:
            self._admin = self._identity("admin_tls", settings, ("admin_client_ca", settings.admin_client_ca))
        self._stages = watch_stage_credentials(settings, metrics)
        self._tokens = None if settings.auth_tokens is None else watch_tokens(settings.auth_tokens, metrics)
        if settings.admin_port is not None and self._tokens is not None:
            self._check_somebody_administers(settings, self._tokens.value)

    @staticmethod
    def _check_somebody_administers(settings: ServerSettings, tokens: TokenTable) -> None:
        if Scope.ADMIN not in tokens.scopes:
            raise SecretFileError(
                _TOKENS, f"{settings.auth_tokens}: no token has the scope admin, which admin_port needs"
            )

    def _identity(
        self, what: str, settings: ServerSettings, client_ca: tuple[str, Path | None]
    ) -> Reloaded[TlsIdentity] | None:
        if settings.tls_certificate is None or settings.tls_key is None:
            return None
        from semantic_palette_services.server.tls import watch_identity  # cryptography, only where there is TLS

        setting, path = client_ca
        ca = None if path is None else (setting, path)
        return watch_identity(what, settings.tls_certificate, settings.tls_key, ca, self._metrics)

    @property
    def credentials(self) -> grpc.ServerCredentials | None:
        """Credentials of the public port; None for plaintext."""
        return _credentials(self._public)

    @property
    def admin_credentials(self) -> grpc.ServerCredentials | None:
        """Credentials of the admin port; None for plaintext."""
        return _credentials(self._admin)

    def interceptors(self, scope: Scope) -> tuple[AccessInterceptor, ...]:
        """What goes before the other interceptors of a listener whose callers need a scope."""
        if self._tokens is None:
            return ()
        tokens = self._tokens
        return (AccessInterceptor(lambda: tokens.value, scope, self._metrics),)

    def stage_credentials(self) -> Credentials:
        """What the factory shows to other services, from now on."""
        return _NO_CREDENTIALS if self._stages is None else self._stages.value

    @asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        """Read files that change for as long as the context lasts."""
        watched: list[Reloaded[Any]] = [
            one for one in (self._public, self._admin, self._tokens, self._stages) if one is not None
        ]
        async with kept_fresh(watched):
            yield


def watch_tokens(path: Path, observer: ReloadObserver) -> Reloaded[TokenTable]:
    """Read the file of tokens, to be refreshed; tokens that stay keep what they have used.

    Raises:
        SecretFileError: it is no file of tokens.
    """
    table: TokenTable | None = None

    def load(contents: Contents) -> TokenTable:
        nonlocal table
        try:
            entries = parse_tokens(contents[_TOKENS])
        except TokensError as error:
            raise SecretFileError(_TOKENS, f"{path}: {error}") from None
        table = TokenTable(entries, table)
        return table

    return Reloaded(_TOKENS, {_TOKENS: path}, load, observer)


def watch_stage_credentials(settings: ServerSettings, observer: ReloadObserver) -> Reloaded[Credentials] | None:
    """Read what the factory shows to other services, to be refreshed; None where the settings have nothing.

    Raises:
        SecretFileError: a file is not what its setting is for.
    """
    files = {name: path for name in _STAGE_FILES if (path := getattr(settings, name)) is not None}
    if not files:
        return None

    def load(contents: Contents) -> Credentials:
        if files.keys() - {"stage_token_file"}:
            from semantic_palette_services.server.tls import check_client_files

            check_client_files(contents)
        token = contents.get("stage_token_file")
        try:
            return Credentials(
                token=None if token is None else token.decode("ascii", errors="replace").strip(),
                ca=contents.get("stage_ca"),
                certificate=contents.get("stage_certificate"),
                key=contents.get("stage_key"),
                plaintext_token=settings.allow_plaintext_tokens,
            )
        except InvalidInputError:
            raise SecretFileError("stage_token_file", "a file with a token in printable ASCII is needed") from None

    return Reloaded("stage_credentials", files, load, observer)


def _credentials(identity: Reloaded[TlsIdentity] | None) -> grpc.ServerCredentials | None:
    if identity is None:
        return None
    from semantic_palette_services.server.tls import listener_credentials

    return listener_credentials(identity)
