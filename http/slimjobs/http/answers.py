"""What every route gives: a whole answer, before anyone decides how it is sent."""

from __future__ import annotations

from typing import Final

import msgspec

JSON: Final = b"application/json"
NDJSON: Final = b"application/x-ndjson"

NO_CONTENT: Final = 204
"""Of what is not there neither a type nor a length is told (RFC 9110 §8.6)."""

Header = tuple[bytes, bytes]


class Answer(msgspec.Struct, frozen=True):
    """A status, a body, and headers beside those that follow from them. `index` is that of the log it reflects."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[Header, ...] = ()
    index: int | None = None

    def header_list(self, newest: int) -> list[Header]:
        """All headers; an answer that reflects nothing of the log carries the newest index that was given out."""
        index = newest if self.index is None else self.index
        given: list[Header] = [(b"x-slimfaas-index", str(index).encode()), *self.headers]
        if self.status == NO_CONTENT:
            return given
        length = str(len(self.body)).encode()
        return [(b"content-type", self.content_type), (b"content-length", length), *given]


def json_answer(status: int, value: object, index: int, headers: tuple[Header, ...] = ()) -> Answer:
    """An answer that shows a value as JSON."""
    return Answer(status, msgspec.json.encode(value), JSON, headers, index)
