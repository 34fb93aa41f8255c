"""The tokens that a server knows, read from JSON: a list of objects, one a token.

| key | meaning |
|---|---|
| name | what logs and messages call the token |
| token_sha256 | hex sha256 of the token, so that whoever reads the file cannot use it |
| token | the token itself, instead of its hash; at least 32 characters |
| scopes | "generate", "admin" or both; default generate |
| pairs_per_second | pairs, layouts and images a second; default as many as there are |
| max_streams | streams of pairs at a time; default as many as the server allows |
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection
from hashlib import sha256
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, model_validator

from semantic_palette.errors import InvalidInputError, SemanticPaletteError
from semantic_palette_services.access.callers import Caller, Scope
from semantic_palette_services.access.errors import UnauthenticatedError
from semantic_palette_services.access.quota import Quota


class TokensError(SemanticPaletteError):
    """These are no tokens; the message says where, and quotes nothing."""


class TokenEntry(BaseModel):
    """One token of the file. Its text has neither the token nor the hash."""

    # Unknown keys are refused: a quota with a misspelt name would be none.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")
    token_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", repr=False)
    token: SecretStr | None = Field(default=None, min_length=32)
    scopes: frozenset[Scope] = Field(default=frozenset({Scope.GENERATE}), min_length=1)
    pairs_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_streams: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _has_one_secret(self) -> TokenEntry:
        if (self.token is None) == (self.token_sha256 is None):
            raise ValueError("one of token_sha256 and token is needed")
        return self

    @property
    def digest(self) -> bytes:
        """sha256 of the token."""
        if self.token is not None:
            return _digest(self.token.get_secret_value())
        return bytes.fromhex(self.token_sha256 or "")


_ENTRIES = TypeAdapter(list[TokenEntry])


class TokenTable:
    """Finds the caller of a token.

    Args:
        entries: the tokens.
        before: the table that this one replaces. A token that is in both keeps what it has used; one that is not in
            this one is revoked, and its streams end.
    """

    def __init__(self, entries: list[TokenEntry], before: TokenTable | None = None) -> None:
        known = dict(before._callers) if before is not None else {}
        self._callers: dict[bytes, Caller] = {}
        for entry in entries:
            last = known.get(entry.digest)
            if last is not None and last.name == entry.name:
                quota = known.pop(entry.digest).quota
                quota.change(entry.pairs_per_second, entry.max_streams)
            else:
                quota = Quota(entry.name, entry.pairs_per_second, entry.max_streams)
            self._callers[entry.digest] = Caller(entry.name, entry.scopes, quota)
        for gone in known.values():
            gone.quota.revoke()

    @property
    def scopes(self) -> frozenset[Scope]:
        """Every scope that any token has."""
        return frozenset(scope for caller in self._callers.values() for scope in caller.scopes)

    def caller_of(self, token: str) -> Caller:
        """The caller whose token this is.

        The token's hash is compared with every hash, each in constant time: how long it takes says nothing of how much
        of a guess is right, nor which token it resembles.

        Raises:
            UnauthenticatedError: nobody's.
        """
        presented = _digest(token)
        found = None
        for digest, caller in self._callers.items():
            if hmac.compare_digest(digest, presented):
                found = caller
        if found is None:
            raise UnauthenticatedError("the token is not known")
        return found


def parse_tokens(content: bytes) -> list[TokenEntry]:
    """Read the file of tokens.

    Raises:
        TokensError: it is no such file, or two entries have the same name or token.
    """
    try:
        entries = _ENTRIES.validate_json(content)
    except ValidationError as error:
        raise TokensError(_first_problem(error)) from None
    for what, values in (("name", [entry.name for entry in entries]), ("token", [entry.digest for entry in entries])):
        repeated = [position for position, value in enumerate(values) if value in values[:position]]
        if repeated:
            raise TokensError(f"[{repeated[0]}].{what}: it is that of an entry before")
    return entries


def new_token(name: str, scopes: Collection[Scope] = (Scope.GENERATE,)) -> tuple[str, dict[str, Any]]:
    """A new token, of 256 random bits, and the entry that lets it in.

    Args:
        name: what logs and messages call it.
        scopes: what it is good for.

    Raises:
        InvalidInputError: the name is not one that a token can have.
    """
    token = secrets.token_urlsafe(32)
    try:
        entry = TokenEntry(name=name, token_sha256=_digest(token).hex())
    except ValidationError:
        raise InvalidInputError("name", name, "letters, digits, '.', '_', '@' and '-' are, at most 64") from None
    return token, {"name": entry.name, "token_sha256": entry.token_sha256, "scopes": sorted(scopes)}


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", errors="surrogateescape")).digest()


def _first_problem(error: ValidationError) -> str:
    """Where the first problem is and what; a key that is not known might be a token, so it is not named."""
    problem = error.errors(include_input=False, include_context=False, include_url=False)[0]
    known = [
        f"[{part}]" if isinstance(part, int) else f".{part}"
        for part in problem["loc"]
        if isinstance(part, int) or part in TokenEntry.model_fields
    ]
    return f"{''.join(known) or 'the file'}: {problem['msg']}"
