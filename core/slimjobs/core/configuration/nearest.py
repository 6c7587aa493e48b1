"""The word that someone probably meant: a refusal of an unknown key names it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one, without regard to case; None if none is alike.

    Two words are alike when most of their characters agree in order (`difflib` ratio of 0.6 and more).
    """
    by_folded = {candidate.casefold(): candidate for candidate in known}
    # A typo is about as long as what was meant; the bound keeps a hostile key from costing quadratic time.
    close = difflib.get_close_matches(word.casefold()[:100], by_folded, n=1)
    return by_folded[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'Image'?"`, or nothing if no known word is alike: the tail of a message."""
    meant = nearest(word, known)
    return f"; did you mean '{meant}'?" if meant else ""
