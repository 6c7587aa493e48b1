"""Which directory this is: its format, and the incarnation minted when it was made.

One line of text for people and programs: `slimjobs-log FORMAT INCARNATION CHECKSUM`. It is the last file to appear
when a directory is made, by renaming, so its presence says that the making was finished. Later formats keep the
first two words, so that an older program can say what it met.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple

from slimjobs.eventlog.storage.errors import Damage, NewerFormat
from slimjobs.eventlog.storage.files import Files

IDENTITY: Final = "identity"
FORMAT: Final = 1
TEMPORARY: Final = ".tmp"
"""What ends the name of a file that is not finished: it means nothing after a crash."""

_MOST_BYTES: Final = 4096
_LINE: Final = re.compile(rb"(slimjobs-log (\d{1,6})(?: .*)?) ([0-9a-f]{16})\n")
_INCARNATION: Final = re.compile(r"[0-9a-f]{32}")


class Identity(NamedTuple):
    incarnation: str
    """16 random bytes in hex, by which consensus tells this directory from any other of the same name."""

    @property
    def key(self) -> bytes:
        """What the checksums of this directory are keyed with."""
        return bytes.fromhex(self.incarnation)


def write_identity(files: Files, identity: Identity) -> None:
    """Make this the directory's identity, durably, with everything that was written before."""
    if not _INCARNATION.fullmatch(identity.incarnation):
        raise ValueError(f"an incarnation is 32 hexadecimal digits, not {identity.incarnation!r}")
    content = f"slimjobs-log {FORMAT} {identity.incarnation}".encode()
    file = files.open_writable(IDENTITY + TEMPORARY)
    try:
        files.truncate(file, 0)
        files.write(file, content + b" " + _checksum(content) + b"\n", 0)
        files.sync(file)
    finally:
        files.close(file)
    files.rename(IDENTITY + TEMPORARY, IDENTITY)
    files.sync_names()


def read_identity(files: Files) -> Identity:
    """The identity; `FileNotFoundError` if there is none, `NewerFormat`, or `Damage`."""
    file = files.open(IDENTITY)
    try:
        content = files.read(file, _MOST_BYTES, 0)
    finally:
        files.close(file)
    line = _LINE.fullmatch(content)
    if line is None or _checksum(line[1]) != line[3]:
        found, expected = repr(content[:80].decode("ascii", "replace")), "the line that names format and incarnation"
        raise Damage(f"{files.location}/{IDENTITY}", 0, found, expected)
    if int(line[2]) > FORMAT:
        raise NewerFormat(files.location, int(line[2]), FORMAT)
    return Identity(line[1].decode().split(" ")[2])


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=8).hexdigest().encode()
