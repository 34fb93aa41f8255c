"""TLS of the listeners: certificates that are checked before they are used, and renewed without a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from semantic_palette_services.server.reloading import Contents, Reloaded, ReloadObserver, SecretFileError


class TlsObserver(ReloadObserver, Protocol):
    """Is told about certificates; may be called from any thread."""

    def certificate_in_use(self, what: str, not_after: datetime) -> None:
        """New connections get this certificate, which expires then."""


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """What a listener shows, and what it asks of its clients.

    Attributes:
        certificate: the certificate and its chain, PEM.
        key: the private key, PEM.
        client_ca: certificates that those of clients must be signed by, PEM; None where clients need none.
        not_after: when the certificate expires, UTC.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    not_after: datetime

    @property
    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """For gRPC."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.certificate)], self.client_ca)


def watch_identity(
    what: str, certificate: Path, key: Path, client_ca: tuple[str, Path] | None, observer: TlsObserver
) -> Reloaded[TlsIdentity]:
    """Read the files of a listener, to be refreshed.

    Args:
        what: what logs and metrics call it.
        certificate: the certificate and its chain, PEM.
        key: its private key, PEM without a password.
        client_ca: name of the setting and path of the CAs of clients, PEM; None where clients need no certificate.
        observer: is told about certificates.

    Raises:
        SecretFileError: a file is no PEM of its kind, or the key is not the certificate's.
    """
    files = {"tls_certificate": certificate, "tls_key": key, **dict([client_ca] if client_ca else [])}

    def load(contents: Contents) -> TlsIdentity:
        identity = read_identity(contents, client_ca[0] if client_ca else None)
        observer.certificate_in_use(what, identity.not_after)
        return identity

    return Reloaded(what, files, load, observer)


def read_identity(contents: Contents, client_ca: str | None) -> TlsIdentity:
    """Read the contents of ``tls_certificate``, ``tls_key`` and, where it is named, the setting ``client_ca``.

    Raises:
        SecretFileError: see `watch_identity`.
    """
    certificate = _check_pair(contents, "tls_certificate", "tls_key")
    if client_ca is not None:
        _certificates(contents, client_ca)
    return TlsIdentity(
        certificate=contents["tls_certificate"],
        key=contents["tls_key"],
        client_ca=None if client_ca is None else contents[client_ca],
        not_after=certificate.not_valid_after_utc,
    )


def check_client_files(contents: Contents) -> None:
    """Check the contents of ``stage_ca``, ``stage_certificate`` and ``stage_key``, as far as they are there.

    Raises:
        SecretFileError: one is no PEM of its kind, or the key is not the certificate's.
    """
    if "stage_ca" in contents:
        _certificates(contents, "stage_ca")
    if "stage_certificate" in contents:
        _check_pair(contents, "stage_certificate", "stage_key")


def listener_credentials(identity: Reloaded[TlsIdentity]) -> grpc.ServerCredentials:
    """Credentials of a listener: each new connection is shown the identity that is in use then.

    Connections that are open keep theirs; ``max_connection_age`` ends them. Where the identity has a CA of clients, a
    client without a certificate of it cannot connect.
    """
    first = identity.value
    asks_clients = first.client_ca is not None
    # The stubs do not know that a fetcher may say None, for no change.
    return grpc.dynamic_ssl_server_credentials(first.configuration, _fetcher(identity), asks_clients)  # type: ignore[arg-type]


def _fetcher(identity: Reloaded[TlsIdentity]) -> Callable[[], grpc.ServerCertificateConfiguration | None]:
    """Asked by gRPC at every handshake, one after another, from threads of its own."""
    shown = identity.value

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        if identity.value is shown:
            return None  # no change
        shown = identity.value
        return shown.configuration

    return fetch


def _check_pair(contents: Contents, certificate_setting: str, key_setting: str) -> x509.Certificate:
    certificate, *_ = _certificates(contents, certificate_setting)
    if _key(contents, key_setting).public_key() != certificate.public_key():
        raise SecretFileError(key_setting, f"the key is not that of {certificate_setting}")
    return certificate


def _certificates(contents: Contents, setting: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(contents[setting])
    except ValueError:
        raise SecretFileError(setting, "PEM certificates are needed") from None


def _key(contents: Contents, setting: str) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(contents[setting], password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # From nothing: what a parser says of a key might quote it.
        raise SecretFileError(setting, "a PEM private key without a password is needed") from None
