"""What was last seen, and how far a list may be trusted about what is not in it."""

from __future__ import annotations

from slimjobs.core.orchestrators.ports import Changed, Listed, ObservedJob, Phase, Unobserved, Vanished
from slimjobs.core.supervisor.mirror import Mirror
from slimjobs.eventlog.events.runs import RunId

ONE, TWO = RunId(b"1" * 10), RunId(b"2" * 10)
LOST = Unobserved("connection lost")


def job(run: RunId, *, uid: str = "uid", cluster: str = "c1", phase: Phase = Phase.SUSPENDED) -> ObservedJob:
    return ObservedJob("name", uid, cluster, run, phase)


def mirror_of(*observations: Listed | Changed | Vanished | Unobserved, bound: frozenset[RunId] = frozenset()) -> Mirror:
    mirror = Mirror()
    for observation in observations:
        mirror.observe("c1", observation, lambda: set(bound))
    return mirror


def test_a_list_shows_what_is_there_and_makes_the_mirror_current() -> None:
    mirror = mirror_of(LOST, Listed((job(ONE), job(TWO))))
    assert mirror.listed
    assert mirror.seen(ONE).job == job(ONE)
    assert mirror.seen(TWO).job == job(TWO)


def test_what_a_new_list_does_not_show_any_more_is_worth_a_look() -> None:
    mirror = mirror_of(Listed((job(ONE), job(TWO))), LOST)
    assert mirror.observe("c1", Listed((job(TWO),)), set) == sorted((ONE, TWO))


def test_a_bound_run_that_is_not_in_the_list_is_gone() -> None:
    assert mirror_of(LOST, Listed(()), bound=frozenset({ONE})).seen(ONE).gone


def test_what_was_known_of_it_stays_known() -> None:
    mirror = mirror_of(Changed(job(ONE, phase=Phase.SUCCEEDED)), LOST, Listed(()), bound=frozenset({ONE}))
    assert mirror.seen(ONE).job == job(ONE, phase=Phase.SUCCEEDED)
    assert mirror.seen(ONE).gone


def test_a_list_begun_before_an_object_was_created_does_not_make_it_vanish() -> None:
    mirror = mirror_of(LOST)
    mirror.appeared(job(ONE))
    mirror.observe("c1", Listed(()), lambda: {ONE})
    assert not mirror.seen(ONE).gone
    assert mirror.seen(ONE).job == job(ONE)


def test_but_the_next_list_does() -> None:
    mirror = mirror_of(LOST)
    mirror.appeared(job(ONE))
    for observation in (Listed(()), LOST, Listed(())):
        mirror.observe("c1", observation, lambda: {ONE})
    assert mirror.seen(ONE).gone


def test_an_unbound_object_that_is_not_in_the_list_was_never_there() -> None:
    seen = mirror_of(Changed(job(ONE)), LOST, Listed(())).seen(ONE)
    assert (seen.job, seen.gone) == (None, False)


def test_unobserved_concludes_nothing_from_absence() -> None:
    mirror = mirror_of(LOST, Listed((job(ONE),)), LOST)
    assert mirror.trouble == "connection lost"
    assert mirror.seen(ONE).job == job(ONE)


def test_another_object_under_the_name_replaces_what_was_seen() -> None:
    mirror = mirror_of(Changed(job(ONE)), Changed(job(ONE, uid="another")))
    assert mirror.seen(ONE).job == job(ONE, uid="another")


def test_the_end_of_an_earlier_object_does_not_end_the_one_that_is_there() -> None:
    mirror = mirror_of(Changed(job(ONE, uid="another")), Vanished(job(ONE)))
    assert not mirror.seen(ONE).gone


def test_an_object_that_vanished_shows_its_last() -> None:
    seen = mirror_of(Changed(job(ONE)), Vanished(job(ONE, phase=Phase.FAILED))).seen(ONE)
    assert seen.gone
    assert seen.job == job(ONE, phase=Phase.FAILED)


def test_another_clusters_objects_are_not_seen() -> None:
    other = job(ONE, cluster="c2")
    seen = mirror_of(Listed((other,)), Changed(other), Vanished(other)).seen(ONE)
    assert (seen.job, seen.gone) == (None, False)


def test_what_is_forgotten_leaves_nothing_behind() -> None:
    mirror = mirror_of(Listed(()))
    for number in range(1000):
        run = RunId(number.to_bytes(10, "big"))
        mirror.appeared(job(run))
        mirror.forget(run)
    assert not mirror._seen
    assert not mirror._since_list_began
