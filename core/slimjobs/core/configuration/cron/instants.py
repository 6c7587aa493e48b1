"""The instants at which a schedule is due, in a time zone whose clocks are put forward and back (contract §4).

An expression matches times as clocks on the wall show them. Where each falls:

    on the wall                     instants
    shown once                      that one
    never: clocks went forward      the moment at which they did; all times that were jumped over share it
    twice: clocks went back         the first; with a wildcard or stepped hour both

croniter finds the matches of the numbers that our grammar gives it, on a wall clock that never jumps.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from slimjobs.core.configuration.cron.grammar import CronExpression, Field

if TYPE_CHECKING:
    from croniter import croniter

LAST: Final = int(datetime(9000, 1, 1, tzinfo=UTC).timestamp())
"""Beyond this year nothing is ever due; calendars end at 9999."""

DAY_SECONDS: Final = 86_400
MINUTE_MS: Final = 60_000

# No zone changes its clocks and changes them back within so short a time.
_STEP_SECONDS: Final = 5 * DAY_SECONDS


class Timetable:
    """When an expression is due in a time zone. Instants are Unix ms, whole minutes of the wall clock."""

    def __init__(self, expression: CronExpression, zone: str) -> None:
        self._expression = expression
        self._zone = ZoneInfo(zone)
        self._wall = _wall(expression)
        self._last_found = 0, 0
        self._repeats = expression.hours.wildcard or expression.hours.stepped

    def next_after(self, instant_ms: int) -> int | None:
        """The first instant after this one; None if there is none before the year 9000."""
        after_ms, found_ms = self._last_found
        if not after_ms <= instant_ms < found_ms:
            found = self._find(instant_ms // 1000)
            if found is None:
                return None
            self._last_found = instant_ms, found * 1000
        return self._last_found[1]

    def _find(self, at: int) -> int | None:
        shift = self._shift(at)
        wall = self._match_after(at + shift)
        while wall is not None:
            due = wall - shift
            change = self._change(at, due)
            if change is None:
                if self._counts(due):
                    return due
                at, wall = due, self._match_after(wall)
                continue
            before, shift = shift, self._shift(change)
            if change + before <= wall < change + shift:
                return change
            # What is matched at the very moment of a change is of the new time.
            at, wall = change, self._match_after(change + shift - 1)
        return None

    def latest(self, until_ms: int, first_ms: int) -> int:
        """The last instant that is not after this one; `first_ms` is an instant that is not after it either."""
        following = self.next_after(first_ms)
        if following is None or following > until_ms:
            return first_ms
        end, parts = until_ms // 1000, self._parts(first_ms // 1000, until_ms // 1000)
        while parts:
            start, shift = parts.pop()
            before = parts[-1][1] if parts else shift
            wall = self._match_upto(end + shift)
            while wall is not None and wall - shift >= start:
                if self._counts(wall - shift):
                    return (wall - shift) * 1000
                wall = self._match_upto(wall - 1)
            if self._matches(start + before, start + shift):
                return start * 1000
            end = start - 1
        return first_ms

    def _parts(self, begin: int, end: int) -> list[tuple[int, int]]:
        """The parts of a time in which no clocks are changed: when each begins, and how far the wall is ahead then."""
        parts = [(begin, self._shift(begin))]
        while (change := self._change(parts[-1][0], end)) is not None:
            parts.append((change, self._shift(change)))
        return parts

    def count(self, first_ms: int, last_ms: int) -> int:
        """How many instants there are from one to another, both included: also between two that are years apart."""
        if first_ms == last_ms:
            return 1
        at, last = first_ms // 1000 - 1, last_ms // 1000  # the first may be a change of the clocks itself
        found, shift = 0, self._shift(at)
        while (change := self._change(at, last)) is not None:
            found += self._matches(at + shift, change + shift)
            before, shift = shift, self._shift(change)
            first = change + shift
            if shift > before and self._matches(change + before, first):
                found += not self._matches(first, first + 60)  # those that were jumped over join it if it is due
            at = change
            if shift < before and not self._repeats:
                found -= self._matches(first, min(change + before, last + shift + 1))
        return found + self._matches(at + shift, last + shift + 1)

    def upto(self, after_ms: int, until_ms: int) -> Iterator[int]:
        """The instants after the one and not after the other, in order."""
        due = self.next_after(after_ms)
        while due is not None and due <= until_ms:
            yield due
            due = self.next_after(due)

    def _matches(self, begin: int, end: int) -> int:
        """How many times are matched from one time on the wall until before another."""
        if begin >= end:
            return 0
        days = range(begin // DAY_SECONDS, (end - 1) // DAY_SECONDS + 1)
        found = sum(map(self._is_on, days)) * self._before(DAY_SECONDS)
        if self._is_on(days[0]):
            found -= self._before(begin - days[0] * DAY_SECONDS)
        if self._is_on(days[-1]):
            found -= self._before(DAY_SECONDS) - self._before(end - days[-1] * DAY_SECONDS)
        return found

    def _before(self, second: int) -> int:
        """How many times of a day that matches come before this second of it."""
        hours, minutes = self._expression.hours.values, self._expression.minutes.values
        hour, rest = divmod(second, 3600)
        whole = bisect_left(hours, hour)
        is_on = whole < len(hours) and hours[whole] == hour
        return whole * len(minutes) + (bisect_left(minutes, -(-rest // 60)) if is_on else 0)

    def _is_on(self, day: int) -> bool:
        """Whether the expression matches any time of this day, counted from 1 January 1970."""
        date, of = datetime.fromtimestamp(day * DAY_SECONDS, UTC), self._expression
        on_day, on_weekday = date.day in of.days.values, date.isoweekday() % 7 in of.weekdays.values
        on = (on_day or on_weekday) if of.either_day else (on_day and on_weekday)
        return on and date.month in of.months.values

    def _counts(self, due: int) -> bool:
        return self._repeats or not self._local(due).fold

    def _match_after(self, wall: int) -> int | None:
        """The first match after this time on the wall (seconds, as if it were UTC)."""
        if wall >= LAST:
            return None
        self._wall.set_current(wall, force=True)
        try:
            return int(self._wall.get_next(float))
        except ValueError:  # croniter has looked as far as it looks
            return None

    def _match_upto(self, wall: int) -> int | None:
        """The last match that is not after this time on the wall."""
        self._wall.set_current(wall + 1, force=True)
        try:
            return int(self._wall.get_prev(float))
        except ValueError:  # croniter has looked as far as it looks
            return None

    def _local(self, at: int) -> datetime:
        return datetime.fromtimestamp(at, self._zone)

    def _shift(self, at: int) -> int:
        """How far the wall is ahead of UTC at this instant, in seconds."""
        shift = self._local(at).utcoffset()
        assert shift is not None
        return int(shift.total_seconds())

    def _change(self, after: int, until: int) -> int | None:
        """The first instant, after the one and not after the other, at which clocks are put forward or back."""
        shift = self._shift(after)
        while after < until:
            end = min(after + _STEP_SECONDS, until)
            if self._shift(end) != shift:
                return self._first_other(after, end, shift)
            after = end
        return None

    def _first_other(self, same: int, other: int, shift: int) -> int:
        while other - same > 1:
            middle = (same + other) // 2
            if self._shift(middle) == shift:
                same = middle
            else:
                other = middle
        return other


def _wall(expression: CronExpression) -> croniter:
    from croniter import croniter  # only who has schedules carries it, and dateutil with it

    return croniter(_numbers(expression), 0)


def _numbers(expression: CronExpression) -> str:
    """The expression for croniter, which takes a full list of days for `*`: where that counts it gets `*` for both."""
    either = expression.either_day and any(
        len(field.values) == most for field, most in ((expression.days, 31), (expression.weekdays, 7))
    )
    days, weekdays = ("*", "*") if either else (_list(expression.days), _list(expression.weekdays))
    return " ".join((_list(expression.minutes), _list(expression.hours), days, _list(expression.months), weekdays))


def _list(field: Field) -> str:
    return "*" if field.wildcard else ",".join(map(str, field.values))
