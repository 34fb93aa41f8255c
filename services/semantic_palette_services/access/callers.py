"""Who makes the call at hand."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from semantic_palette_services.access.errors import PermissionDeniedError
from semantic_palette_services.access.quota import Quota


class Scope(StrEnum):
    """What a token is good for."""

    GENERATE = "generate"
    """Everything on the public port."""
    ADMIN = "admin"
    """The admin port."""


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """A caller whose token is known.

    Attributes:
        name: of the token.
        scopes: what it may do.
        quota: how much of it.
    """

    name: str
    scopes: frozenset[Scope]
    quota: Quota

    def require(self, scope: Scope) -> None:
        """Check that the caller has a scope.

        Raises:
            PermissionDeniedError: it has not.
        """
        if scope not in self.scopes:
            raise PermissionDeniedError(self.name, scope)


ANYONE = Caller("anyone", frozenset(Scope), Quota("anyone"))
"""The caller where no tokens are asked for: it may do everything."""

current_caller: ContextVar[Caller] = ContextVar("current_caller", default=ANYONE)
"""The caller of the call that this task works for."""


def quota_of_caller() -> Quota:
    """What the caller of the call that this task works for may use."""
    return current_caller.get().quota
