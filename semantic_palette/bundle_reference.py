"""What a user calls a bundle."""

import re
from dataclasses import dataclass
from typing import Self

from semantic_palette.errors import InvalidInputError
from semantic_palette.pair import BundleIdentity

_REFERENCE = re.compile(r"([^/@]+)(?:/([^/@]+))?(?:@(?:sha256:)?([0-9a-f]{64}))?")


@dataclass(frozen=True, slots=True)
class BundleReference:
    """`name`, `name/version`, `name@digest` or `name/version@digest`; None stands for what was left out.

    Attributes:
        name: name of the bundle; None for the only one there is.
        version: version; None for the active one.
        digest: hex sha256 that the manifest must have; None for any.
    """

    name: str | None = None
    version: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Reads a reference; None is the only bundle, in its active version. A digest may begin with `sha256:`.

        Raises:
            InvalidInputError: the text is not a reference.
        """
        if text is None:
            return cls()
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise InvalidInputError("bundle", text, "name, name/version or name/version@sha256 is")
        return cls(*match.groups())

    def admits(self, bundle: BundleIdentity) -> bool:
        """Whether a bundle is one that this may mean."""
        given = ((self.name, bundle.name), (self.version, bundle.version), (self.digest, bundle.digest))
        return all(wanted in (None, actual) for wanted, actual in given)
