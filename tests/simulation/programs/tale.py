"""What is told of a seed: a line for each event, and a hash over everything that two runs must have in common."""

from __future__ import annotations

import hashlib
from collections import Counter, deque

import trio

TOLD_LINES = 400


class Tale:
    """`trace` is the hash, `lines` the last of it in words, `faults` what was done to the cluster, and how often."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=TOLD_LINES)
        self.faults: Counter[str] = Counter()
        self.began_at = trio.current_time()
        self._hash = hashlib.blake2b(digest_size=16)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return trio.current_time() - self.began_at

    @property
    def trace(self) -> str:
        """The hash over all that was told so far."""
        return self._hash.hexdigest()

    def say(self, *words: object) -> None:
        """Tell something worth reading."""
        line = f"{self.now:.6f} " + " ".join(map(str, words))
        self.lines.append(line)
        self._hash.update(line.encode())

    def note(self, content: bytes) -> None:
        """Something that nobody wants to read has to be the same too."""
        self._hash.update(b"%.9f " % trio.current_time())
        self._hash.update(content)

    def mention(self, *words: object) -> None:
        """Tell something that real time has a part in, and that two runs need not have in common."""
        self.lines.append(f"{self.now:.6f} " + " ".join(map(str, words)))
