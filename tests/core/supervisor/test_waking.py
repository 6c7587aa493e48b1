"""When services are woken and put to sleep: by what is seen of them, who needs them, and for how long nobody has."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import pytest

from slimjobs.core.orchestrators.ports import (
    Accepted,
    Missing,
    ObservedService,
    Outcome,
    Rejected,
    Scale,
    Scaling,
    ServiceChanged,
    ServicesListed,
    ServiceVanished,
    Unavailable,
    Unseen,
)
from slimjobs.core.supervisor.picture import NOT_THERE, Picture
from slimjobs.core.supervisor.waking import Waking

SECOND = 10**9
ASLEEP = ObservedService("db", False, "it sleeps", 0, "v1", Scaling(2, 0, 300))
AWAKE = msgspec.structs.replace(ASLEEP, ready=True, reason="", replicas=1, version="v2")


class Around:
    """A picture, a leader's work on it, and a clock."""

    def __init__(self, *services: ObservedService) -> None:
        self.picture, self.waking, self.now = Picture(), Waking(), 0
        self.picture.take(ServicesListed(services))
        self.number = 0

    def due(self, *needed: str) -> list[Scale]:
        found = list(self.waking.due(self.picture, needed, self.now))
        if found:
            self.number = found[-1][0]
        return [scale for _, scale in found]

    def sees(self, service: ObservedService) -> None:
        self.picture.take(ServiceChanged(service))

    def ends(self, outcome: Outcome) -> None:
        self.waking.ended(self.number, outcome, self.now)

    def next_wake(self, *needed: str) -> int | None:
        return self.waking.next_wake_ns(self.picture, needed)


def test_what_is_needed_and_sleeps_is_woken_once() -> None:
    around = Around(ASLEEP)
    assert around.due() == []
    assert around.due("db") == [Scale("db", "v1", 2)]
    assert around.due("db") == []
    around.ends(Accepted())
    assert around.due("db") == [], "it was accepted, and is not seen yet"
    around.sees(msgspec.structs.replace(ASLEEP, replicas=2, version="v2"))
    assert around.due("db") == []


@pytest.mark.parametrize(
    ("service", "needed"),
    [
        (msgspec.structs.replace(ASLEEP, scaling=None), ["db"]),
        (msgspec.structs.replace(ASLEEP, replicas=1), ["db"]),
        (AWAKE, ["db"]),
        (ASLEEP, ["cache"]),
        (ASLEEP, []),
    ],
)
def test_nothing_else_is_woken(service: ObservedService, needed: Collection[str]) -> None:
    assert Around(service).due(*needed) == []


def test_who_starts_with_none_is_woken_all_the_same() -> None:
    assert Around(msgspec.structs.replace(ASLEEP, scaling=Scaling(0))).due("db") == [Scale("db", "v1", 1)]


def test_what_nobody_has_needed_for_its_time_is_put_to_sleep() -> None:
    around = Around(AWAKE)
    assert around.due("db") == []
    around.now = 100 * SECOND
    assert around.due("db") == []
    around.now = 399 * SECOND
    assert around.due() == []
    assert around.next_wake() == 400 * SECOND
    around.now = 400 * SECOND
    assert around.due() == [Scale("db", "v2", 0)]


def test_a_new_leader_begins_to_count_anew() -> None:
    around = Around(AWAKE)
    around.due()
    around.waking.begin_to_lead()
    around.now = 300 * SECOND
    assert around.due() == []
    around.now = 600 * SECOND
    assert around.due() == [Scale("db", "v2", 0)]


def test_it_sleeps_at_its_minimum() -> None:
    around = Around(msgspec.structs.replace(AWAKE, replicas=3, scaling=Scaling(3, 1, 10)))
    around.due()
    around.now = 10 * SECOND
    assert around.due() == [Scale("db", "v2", 1)]
    around.ends(Accepted())
    around.sees(msgspec.structs.replace(AWAKE, replicas=1, version="v3", scaling=Scaling(3, 1, 10)))
    assert around.due() == []
    assert around.next_wake() is None


def test_who_scaled_it_meanwhile_wins() -> None:
    around = Around(ASLEEP)
    around.due("db")
    around.ends(Missing())
    assert around.due("db") == [], "of this version nothing more can be asked"
    around.sees(msgspec.structs.replace(ASLEEP, version="v2"))
    assert around.due("db") == [Scale("db", "v2", 2)], "somebody else changed it, and it still sleeps"


@pytest.mark.parametrize("outcome", [Unavailable("forbidden"), Rejected("forbidden")])
def test_what_failed_is_tried_again_from_one_to_thirty_seconds_apart(outcome: Outcome) -> None:
    around = Around(ASLEEP)
    for wait in (1, 2, 4, 8, 16, 30, 30):
        assert around.due("db") == [Scale("db", "v1", 2)]
        around.ends(outcome)
        assert around.waking.trouble("db") == "forbidden"
        assert around.due("db") == []
        assert around.next_wake("db") == around.now + wait * SECOND
        around.now += wait * SECOND
    around.sees(AWAKE)
    around.due("db")
    assert around.waking.trouble("db") == ""


def test_an_outcome_of_an_earlier_reign_says_nothing() -> None:
    around = Around(ASLEEP)
    around.due("db")
    before = around.number
    around.waking.begin_to_lead()
    assert around.due("db") == [Scale("db", "v1", 2)]
    assert around.number != before
    around.waking.ended(before, Unavailable("late"), 0)
    assert around.waking.trouble("db") == ""


def test_what_vanishes_is_forgotten() -> None:
    around = Around(ASLEEP)
    around.due("db")
    around.ends(Unavailable("forbidden"))
    around.picture.take(ServiceVanished("db"))
    assert around.due("db") == []
    assert around.waking.trouble("db") == ""
    assert around.picture.readiness("db") == (False, NOT_THERE)


def test_what_was_seen_stays_so_while_nothing_can_be_seen() -> None:
    around = Around(AWAKE)
    around.picture.take(Unseen("services", "no route"))
    assert around.picture.readiness("db") == (True, "")
    assert around.picture.trouble == "no route"
    around.picture.take(ServicesListed(()))
    assert around.picture.trouble == ""
    assert around.picture.readiness("db") == (False, NOT_THERE)
