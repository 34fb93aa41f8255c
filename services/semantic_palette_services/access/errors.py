"""Errors of callers that may not, or not now.

SemanticPaletteError
  UnauthenticatedError      no token, or none that is known
  PermissionDeniedError     the token has not got the scope that the call needs
  QuotaExceededError        the token's quota is spent; carries when to come back
"""

from __future__ import annotations

from semantic_palette.errors import SemanticPaletteError


class UnauthenticatedError(SemanticPaletteError):
    """The caller has not said who it is, or nobody knows it. The message never has what the caller sent."""


class PermissionDeniedError(SemanticPaletteError):
    """The caller is known and may not do this."""

    def __init__(self, caller: str, scope: str) -> None:
        super().__init__(f"token {caller!r} has not got the scope {str(scope)!r}, which this call needs")
        self.caller = caller
        self.scope = scope


class QuotaExceededError(SemanticPaletteError):
    """The caller has used what its token allows.

    Attributes:
        caller: name of the token.
        retry_after_seconds: when to ask again.
    """

    def __init__(self, caller: str, limit: str, retry_after_seconds: float) -> None:
        super().__init__(f"token {caller!r}: {limit} are allowed; retry in {retry_after_seconds:.1f} s")
        self.caller = caller
        self.retry_after_seconds = retry_after_seconds
