"""Certificates and tokens in files, as an operator has them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from semantic_palette.client import Credentials

TOKEN = "tok-5sJ0pQ3vXyZ8rT1uWmB6nC4dEfG7hK2a"
ADMIN_TOKEN = "adm-9wL2kD7sQx4ZbN8vRt1yUo5pMfGhJc3e"


def write_tokens(path: Path, *entries: dict[str, Any]) -> Path:
    """Writes a file of tokens; without entries one that knows TOKEN."""
    path.write_text(json.dumps(list(entries) or [{"name": "alice", "token": TOKEN}]))
    return path


@dataclass(frozen=True)
class Pki:
    """A certificate authority, its certificate in a file, and what it issues."""

    authority: trustme.CA
    folder: Path
    ca: Path

    @classmethod
    def create(cls, folder: Path) -> Pki:
        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        return cls(authority, folder, folder / "ca.pem")

    def issue(self, name: str = "server", *hosts: str) -> tuple[Path, Path]:
        """Files of a new certificate and of its key; the same name writes the same files anew."""
        issued = self.authority.issue_cert(*(hosts or ("127.0.0.1", "localhost")))
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return certificate, key

    def server_settings(self) -> dict[str, Path]:
        """Settings of a server with a certificate of this authority."""
        certificate, key = self.issue()
        return {"tls_certificate": certificate, "tls_key": key}

    def client(self, name: str | None = None, **others: Any) -> Credentials:
        """Credentials that trust this authority, with a certificate of it where a name is given."""
        if name is not None:
            others["certificate"], others["key"] = self.issue(name, f"{name}@example.org")
        return Credentials(ca=self.ca, **others)
