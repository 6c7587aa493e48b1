"""Our reading of cron expressions beside Kubernetes' own: whatever both take is due at the same instants.

Only zones whose clocks are never put forward or back: there the rules differ, and ours are written down.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import msgspec
import pytest

from slimjobs.core.configuration.cron import CronError, Timetable, parse_cron
from tests.cluster.binary import built

EXPRESSIONS: Final = 5_000
INSTANTS: Final = 8
ZONES: Final = ("UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/Phoenix", "Pacific/Kiritimati")
FIRST, LAST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2026, 2060))
MACROS: Final = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")

MONTHS: Final = ("JAN", "feb", "Mar", "APR", "may", "JUN", "jul", "AUG", "sep", "OCT", "nov", "DEC")
WEEKDAYS: Final = ("SUN", "mon", "Tue", "WED", "thu", "FRI", "sat")
FIELDS: Final[Sequence[tuple[int, int, Sequence[str]]]] = (
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, MONTHS),
    (0, 6, WEEKDAYS),
)

NOT_TAKEN: Final = (
    *("", "*", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *"),
    *("* * * * 8", "*/0 * * * *", "5-1 * * * *", "1-2-3 * * * *", "1/2/3 * * * *", "a * * * *", "-1 * * * *", "@often"),
)

Question = tuple[str, int, str]
"""A zone, Unix seconds, and an expression."""


def test_what_both_take_is_due_at_the_same_instants() -> None:
    chance = random.Random(7)
    questions = [_question(chance, _expression(chance)) for _ in range(EXPRESSIONS)]
    questions += [_question(chance, macro) for macro in MACROS]
    for question, theirs in zip(questions, _of_kubernetes(questions), strict=True):
        assert theirs is not None, question
        assert _ours(question) == theirs, question


@pytest.mark.parametrize("expression", NOT_TAKEN)
def test_what_they_do_not_take_is_not_taken(expression: str) -> None:
    assert list(_of_kubernetes([("UTC", FIRST, expression)])) == [None]
    with pytest.raises(CronError):
        parse_cron(expression)


def _ours(question: Question) -> list[int]:
    """The next instants; none of an expression that is refused because it is never due."""
    zone, after, expression = question
    try:
        timetable = Timetable(parse_cron(expression), zone)
    except CronError as error:
        if "never due" not in str(error):
            raise
        return []
    return list(islice(_following(timetable, after), INSTANTS))


def _following(timetable: Timetable, after: int) -> Iterator[int]:
    at: int | None = after * 1000
    while at is not None and (at := timetable.next_after(at)) is not None:
        yield at // 1000


def _of_kubernetes(questions: Sequence[Question]) -> Iterator[list[int] | None]:
    lines = "".join(f"{zone}\t{after}\t{INSTANTS}\t{expression}\n" for zone, after, expression in questions)
    done = subprocess.run([str(built()), "cron"], input=lines, capture_output=True, text=True, check=True, timeout=60)
    for line in done.stdout.splitlines():
        yield msgspec.json.decode(line, type=list[int] | None)


def _question(chance: random.Random, expression: str) -> Question:
    return chance.choice(ZONES), chance.randrange(FIRST, LAST), expression


def _expression(chance: random.Random) -> str:
    return " ".join(",".join(_item(chance, *field) for _ in range(chance.choice([1, 1, 1, 2, 3]))) for field in FIELDS)


def _item(chance: random.Random, first: int, last: int, names: Sequence[str]) -> str:
    low, high = sorted((chance.randint(first, last), chance.randint(first, last)))
    step = chance.choice([1, 2, 3, 5, 7, 20])
    begin, end = (names[each - first] if names and chance.random() < 0.3 else str(each) for each in (low, high))
    return chance.choice(
        ["*", "*", "?", begin, begin, f"{begin}-{end}", f"{begin}-{end}/{step}", f"*/{step}", f"{begin}/{step}"]
    )
