"""Kubernetes quantities (`100m`, `400Mi`, `1e3`), exactly: what resources and ceilings are compared by.

The grammar and the bounds are those of `resource.Quantity` (kubernetes/apimachinery, pkg/api/resource/quantity.go): a
signed decimal number and one suffix, decimal (`n u m k M G T P E`), binary (`Ki Mi Gi Ti Pi Ei`) or an exponent
(`e3`, `E3`; a lone `E` is exa). Kubernetes keeps nothing finer than nano and rounds it away from zero, and caps a
binary quantity at 2^63-1; so does this. Every quantity is therefore a whole number of nanos, never a float.

One bound is ours: an amount beyond 10^30 is refused, so that `1e999999999` is not computed.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

NANO: Final = 10**9
MAX_CHARACTERS: Final = 64
MAX_EXPONENT: Final = 99
MAX_NANOS: Final = 10**30 * NANO
BINARY_CAP: Final = (2**63 - 1) * NANO

DECIMAL_SUFFIXES: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY_SUFFIXES: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}

EXPECTED: Final = "a Kubernetes quantity such as 100m, 0.5, 400Mi or 2G"


class Notation(enum.Enum):
    """How a quantity was written; its canonical text keeps it."""

    DECIMAL = "decimal suffix"
    BINARY = "binary suffix"
    EXPONENT = "decimal exponent"


class QuantityError(ValueError):
    """A text that is no quantity; the message says what a quantity is."""


@dataclass(frozen=True, order=True, slots=True)
class Quantity:
    """An amount in billionths. Equal and ordered by amount alone: 1Gi equals 1024Mi."""

    nanos: int
    notation: Notation = field(default=Notation.DECIMAL, compare=False)

    @property
    def amount(self) -> Fraction:
        """The exact amount in units (cores, bytes)."""
        return Fraction(self.nanos, NANO)

    def __str__(self) -> str:
        """The canonical text, as Kubernetes writes it: no fraction, and the largest suffix that allows that."""
        if self.nanos == 0:
            return "0"
        if self.notation is Notation.BINARY and abs(self.nanos) >= 1024 * NANO and self.nanos % NANO == 0:
            return _binary_text(self.nanos // NANO)
        return _decimal_text(self.nanos, self.notation)


_QUANTITY: Final = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?"
    r"(?:(?P<suffix>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[+-]?[0-9]+))?"
)


def parse_quantity(text: str) -> Quantity:
    """The quantity that this text writes.

    Raises QuantityError if it is none, is longer than 64 characters, or is beyond 10^30.
    """
    match = _QUANTITY.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
    if match is None or not (match["whole"] or match["fraction"]):
        raise QuantityError(f"expected {EXPECTED}")
    fraction = match["fraction"] or ""
    digits = int(match["whole"] + fraction)
    magnitude, notation = _scaled(digits, len(fraction), match["suffix"] or "", match["exponent"])
    if magnitude > MAX_NANOS:
        raise QuantityError("no quantity is beyond 1e30")
    return Quantity(-magnitude if match["sign"] == "-" else magnitude, notation)


def _scaled(digits: int, places: int, suffix: str, exponent: str | None) -> tuple[int, Notation]:
    """`digits / 10^places` times what the suffix says, in nanos, rounded up."""
    if suffix in BINARY_SUFFIXES:
        nanos = _divided_up(digits * NANO << BINARY_SUFFIXES[suffix], 10**places)
        return min(nanos, BINARY_CAP), Notation.BINARY
    power = DECIMAL_SUFFIXES[suffix] if exponent is None else int(exponent)
    if abs(power) > MAX_EXPONENT:
        raise QuantityError(f"an exponent takes -{MAX_EXPONENT} to {MAX_EXPONENT}")
    nanos = _divided_up(digits * NANO * 10 ** max(power, 0), 10 ** (places + max(-power, 0)))
    return nanos, Notation.DECIMAL if exponent is None else Notation.EXPONENT


def _divided_up(dividend: int, divisor: int) -> int:
    """The quotient, rounded up: who asks for a little gets at least the smallest amount there is."""
    return -(-dividend // divisor)


def _binary_text(units: int) -> str:
    suffix = ""
    for candidate in BINARY_SUFFIXES:
        if units % 1024:
            break
        units //= 1024
        suffix = candidate
    return f"{units}{suffix}"


def _decimal_text(nanos: int, notation: Notation) -> str:
    """The number with the largest power of a thousand taken out of it."""
    power = -9
    while nanos % 1000 == 0:
        nanos //= 1000
        power += 3
    if notation is not Notation.EXPONENT:
        for suffix, suffix_power in DECIMAL_SUFFIXES.items():
            if suffix_power == power:
                return f"{nanos}{suffix}"
    # Beyond exa there is no suffix; Kubernetes falls back to the exponent too.
    return f"{nanos}e{power}" if power else str(nanos)
