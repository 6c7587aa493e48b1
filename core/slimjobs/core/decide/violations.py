"""What can be wrong with the overrides of a trigger: a value per rule, that says what was asked and what would do.

Made by `overrides.check`, shown as the problems of a refusal: `pointer` says where in the body, `detail` what is wrong.
"""

from __future__ import annotations

from typing import Final

import msgspec

MOST_NAMED: Final = 10
MOST_CHARACTERS: Final = 100  # what a stranger sent comes back in proportion


class ImageNotAllowed(msgspec.Struct, frozen=True):
    """The image is neither the definition's nor does the whitelist match it."""

    pointer: str
    asked: str
    allowed: tuple[str, ...]

    @property
    def detail(self) -> str:
        return f"image {_quoted(self.asked)} is not allowed; allowed: {_listed(self.allowed)}"


class NoImage(msgspec.Struct, frozen=True):
    """Neither the definition nor the trigger names an image, and there is no command to run without one."""

    pointer: str
    allowed: tuple[str, ...]

    @property
    def detail(self) -> str:
        if self.allowed:
            return f"the job's definition has no Image, so a trigger must give one; allowed: {_listed(self.allowed)}"
        return "the job's definition has no Image and allows none; give it an Image or an ImagesWhitelist"


class UnknownResource(msgspec.Struct, frozen=True):
    """The definition has no amount of this resource at all."""

    pointer: str
    asked: str
    known: tuple[str, ...]

    @property
    def detail(self) -> str:
        return f"resource {_quoted(self.asked)} is not in the job's definition; it has: {_listed(self.known)}"


class ResourceAboveCeiling(msgspec.Struct, frozen=True):
    """More was asked for than the definition has."""

    pointer: str
    asked: str
    ceiling: str

    @property
    def detail(self) -> str:
        return f"{self.asked} is above the job's ceiling of {self.ceiling}"


class BoundlessLimit(msgspec.Struct, frozen=True):
    """A limit of zero, which Kubernetes takes as no limit."""

    pointer: str
    ceiling: str

    @property
    def detail(self) -> str:
        return f"to Kubernetes a limit of 0 is none; ask for more than 0, up to the job's ceiling of {self.ceiling}"


class RequestAboveLimit(msgspec.Struct, frozen=True):
    """Merged with the definition, the run would request more than its limit."""

    pointer: str
    request: str
    limit: str

    @property
    def detail(self) -> str:
        return f"the run's request of {self.request} is above its ceiling, the run's limit of {self.limit}"


class NumberOutOfRange(msgspec.Struct, frozen=True):
    """A number that Kubernetes cannot take."""

    pointer: str
    asked: int
    most: int

    @property
    def detail(self) -> str:
        return f"takes a whole number from 0 to {self.most}, not {self.asked}"


class ReferenceNotAllowed(msgspec.Struct, frozen=True):
    """A reference to a Secret or ConfigMap that the definition does not have."""

    pointer: str
    kind: str
    name: str
    key: str

    @property
    def detail(self) -> str:
        return (
            f"{self.kind} {_quoted(self.name)}, key {_quoted(self.key)}, is not in the job's definition; a trigger "
            'may add references only where the definition says "AllowReferenceOverrides": true'
        )


Violation = (
    ImageNotAllowed
    | NoImage
    | UnknownResource
    | ResourceAboveCeiling
    | BoundlessLimit
    | RequestAboveLimit
    | NumberOutOfRange
    | ReferenceNotAllowed
)


def _quoted(text: str) -> str:
    return f"'{text}'" if len(text) <= MOST_CHARACTERS else f"'{text[:MOST_CHARACTERS]}...'"


def _listed(words: tuple[str, ...]) -> str:
    named = ", ".join(_quoted(word) for word in words[:MOST_NAMED])
    more = len(words) - MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named or "none"
