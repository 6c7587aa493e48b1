"""A small deterministic generator, so that the core's only chance is the seed it was given."""

from __future__ import annotations

MASK = (1 << 64) - 1


class Entropy:
    """SplitMix64 (Steele, Lea, Flood 2014): a counter and a mixer, good enough to spread election timeouts."""

    def __init__(self, seed: int) -> None:
        self._counter = seed & MASK

    def draw(self) -> int:
        """The next 64 bits."""
        self._counter = (self._counter + 0x9E3779B97F4A7C15) & MASK
        mixed = self._counter
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        return mixed ^ (mixed >> 31)

    def below(self, bound: int) -> int:
        """A number from 0 up to but not including `bound`."""
        return self.draw() % bound
