"""What may be chosen about who reaches a server, and how: addresses, certificates and tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self, TypeAlias

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from semantic_palette.errors import InvalidInputError
from semantic_palette.grpc_conventions import is_loopback

ENVIRONMENT_PREFIX = "SEMANTIC_PALETTE_"

Port: TypeAlias = Annotated[int, Field(ge=0, le=65535)]


class SecuritySettings(BaseSettings):
    """The part of a server's settings that its security hangs on. Secrets themselves are in files, which these name."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    """Address that all ports listen on; ``0.0.0.0`` for every interface, which the service image sets. Without
    ``tls_certificate`` and ``auth_tokens`` that is for networks that you trust."""

    tls_certificate: Path | None = None
    """Certificate, with its chain, of the public port, PEM; read again when it changes. Default: no TLS."""

    tls_key: Path | None = None
    """Private key of ``tls_certificate``, PEM without a password."""

    tls_client_ca: Path | None = None
    """CAs whose certificates clients must have (mutual TLS), PEM. Default: clients need none."""

    auth_tokens: Path | None = None
    """JSON file of the tokens that callers need, with their scopes and quotas; read again when it changes. Default:
    anyone may call."""

    allow_plaintext_tokens: bool = False
    """Ask for tokens on an address that is not this machine's own without TLS, and send them to other services so: for
    where something else, such as a service mesh, encrypts the connections."""

    reflection: bool = True
    """Whether gRPC reflection is served; where there are tokens it needs one."""

    admin_host: str = "127.0.0.1"
    """Address that the admin port listens on."""

    admin_port: Port | None = None
    """Port of the admin services, such as ModelService; 0 for any that is free. Default: there is none. It needs
    ``auth_tokens``, one of which has the scope ``admin``, or ``admin_client_ca``."""

    admin_client_ca: Path | None = None
    """CAs whose certificates the clients of the admin port must have, PEM; they are no good at the public port."""

    stage_token_file: Path | None = None
    """File with the token that the factory shows to other services; it and the next three are read again
    when they change."""

    stage_ca: Path | None = None
    """CAs that the certificates of other services must be signed by, PEM: the factory calls them over TLS."""

    stage_certificate: Path | None = None
    """The factory's certificate, PEM, for services that ask for one (mutual TLS)."""

    stage_key: Path | None = None
    """Private key of ``stage_certificate``, PEM without a password."""

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            missing, given = ("key", "certificate") if self.tls_key is None else ("certificate", "key")
            raise InvalidInputError(f"tls_{missing}", None, f"the path of one is needed beside tls_{given}")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise InvalidInputError("tls_client_ca", str(self.tls_client_ca), "it needs tls_certificate and tls_key")
        if (self.stage_certificate is None) != (self.stage_key is None):
            missing, given = ("key", "certificate") if self.stage_key is None else ("certificate", "key")
            raise InvalidInputError(f"stage_{missing}", None, f"the path of one is needed beside stage_{given}")
        return self

    @model_validator(mode="after")
    def _admin_is_guarded(self) -> Self:
        # On loopback as well: every user and every program of the machine reaches it.
        if self.admin_port is not None and self.auth_tokens is None and self.admin_client_ca is None:
            needed = "auth_tokens with a token of the scope admin is needed, or admin_client_ca"
            raise InvalidInputError("admin_port", self.admin_port, needed)
        if self.admin_client_ca is not None and self.tls_certificate is None:
            raise InvalidInputError(
                "admin_client_ca", str(self.admin_client_ca), "it needs tls_certificate and tls_key"
            )
        if self.admin_port is not None and self.auth_tokens is None and self.admin_client_ca == self.tls_client_ca:
            needed = (
                "every caller is an administrator where tls_client_ca is the same: another is needed, or auth_tokens"
            )
            raise InvalidInputError("admin_client_ca", str(self.admin_client_ca), needed)
        return self

    @model_validator(mode="after")
    def _tokens_are_not_overheard(self) -> Self:
        at_home = is_loopback(self.host) and (self.admin_port is None or is_loopback(self.admin_host))
        safe = self.tls_certificate is not None or self.allow_plaintext_tokens or at_home
        if self.auth_tokens is not None and not safe:
            needed = (
                "tokens would cross the network in plaintext: tls_certificate and tls_key are needed, or host "
                "127.0.0.1, or allow_plaintext_tokens where something else encrypts the connections"
            )
            raise InvalidInputError("auth_tokens", str(self.auth_tokens), needed)
        return self
