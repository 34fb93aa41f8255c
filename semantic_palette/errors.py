"""Every error this package raises.

SemanticPaletteError
    InvalidInputError            (also a ValueError) a value the caller gave is not allowed
        UnknownClassError        a class name that the label space does not have
        InfeasibleConstraintsError  bounds that no palette can meet
    BundleError                  a bundle that is corrupt, unreadable or inconsistent
        BundleNotFoundError      a bundle or a version that does not exist
"""

_MAX_VALUE_LENGTH = 200


class SemanticPaletteError(Exception):
    """Root of the errors of semantic-palette."""

    @property
    def public(self) -> str:
        """What the callers of a service may hear of it; less than all where that has paths or names of machines."""
        return str(self)


class InvalidInputError(SemanticPaletteError, ValueError):
    """A value the caller gave is not allowed.

    Attributes:
        field: Name of the argument or message field, such as `palette[road]`.
        value: What was given.
        allowed: What is allowed, as a phrase.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(field, value, allowed)
        self.field = field
        self.value = value
        self.allowed = allowed

    def __str__(self) -> str:
        return f"{self.field}: {shorten(self.value)} is not allowed; {self.allowed}"


class UnknownClassError(InvalidInputError):
    """A class name that the label space does not have."""


class InfeasibleConstraintsError(InvalidInputError):
    """Bounds on class shares that no palette can meet."""


class BundleError(SemanticPaletteError):
    """A bundle that is corrupt, unreadable or inconsistent."""


class BundleNotFoundError(BundleError):
    """A bundle or a version of it that does not exist.

    Attributes:
        store: Folder in which it is not, if that is known. Part of the message, and not public.
    """

    def __init__(self, message: str, store: object = None) -> None:
        super().__init__(message)
        self.store = store

    def __str__(self) -> str:
        return self.public if self.store is None else f"{self.public} (model store {self.store})"

    @property
    def public(self) -> str:
        """See `SemanticPaletteError.public`."""
        return str(self.args[0])


def shorten(value: object) -> str:
    """Returns the repr of a value, cut so that an error message stays readable."""
    text = repr(value)
    return text if len(text) <= _MAX_VALUE_LENGTH else text[:_MAX_VALUE_LENGTH] + "..."
