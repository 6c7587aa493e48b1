"""Which images a definition allows: its own, and those that its whitelist matches (contract, Triggering rules)."""

from __future__ import annotations

from functools import lru_cache

from slimjobs.eventlog.events.definitions import Definition


def image_allowed(definition: Definition, image: str) -> bool:
    """Whether a run may bring this image; with an empty whitelist only the definition's own is."""
    return image == definition.image or any(
        pieces_match(pieces, image) for pieces in _compiled(definition.images_whitelist)
    )


def allowed_images(definition: Definition) -> tuple[str, ...]:
    """What may be asked for, for people: the definition's own image, if it has one, and the patterns."""
    return (definition.image, *definition.images_whitelist) if definition.image else definition.images_whitelist


@lru_cache(maxsize=1024)
def _compiled(whitelist: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(pattern_pieces(pattern) for pattern in whitelist)


def pattern_pieces(pattern: str) -> tuple[str, ...]:
    """A pattern as the texts between its stars; runs of stars mean what one means."""
    first, *rest = pattern.split("*")
    return (first, *filter(None, rest[:-1]), *rest[-1:])


# No regular expression: `*a*a*a*a*b` would make one try every way to share the image out among the stars, and the
# pattern decides over what strangers send. The leftmost place for each piece is always good enough, because the star
# behind it takes whatever follows; so one pass from left to right does.
def pieces_match(pieces: tuple[str, ...], text: str) -> bool:
    """Whether the whole text is the pieces in order, with anything (or nothing) in place of each star between them."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return text == first
    end = len(text) - len(last)
    if end < len(first) or not text.startswith(first) or not text.endswith(last):
        return False
    at = len(first)
    for piece in pieces[1:-1]:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
