"""Faults of schedules: instants that fire twice or never, early or late, and marks that do not say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.mutants.mutant import Mutant

FIRING: Final = "core/decide/test_firing.py"
INSTANTS: Final = "core/configuration/test_instants.py"

MUTANTS: Final[Sequence[Mutant]] = (
    Mutant(
        "fire-leaves-the-schedule-due",
        "projections/schedules.py",
        "    schedule.last_fired, schedule.next_due = event.instant, event.next_due",
        "    schedule.last_fired = event.instant",
        ("projections/test_schedules.py::test_the_earliest_is_due_first_and_each_event_says_when_next",),
    ),
    Mutant(
        "run-of-an-instant-has-an-id-of-chance",
        "core/decide/scheduling.py",
        'return RunId(_digest(schedule + instant.to_bytes(8, "big")))',
        'return RunId(_digest(schedule + instant.to_bytes(8, "big") + repr(id(object())).encode()))',
        (f"{FIRING}::test_the_run_of_an_instant_is_the_same_whoever_fires_it",),
    ),
    Mutant(
        "deadline-is-not-looked-at",
        "core/decide/firing.py",
        "    return now.at - instant > 1000 * schedule.plan.starting_deadline_seconds",
        "    return False",
        (f"{FIRING}::test_what_is_seen_later_than_its_deadline_is_skipped",),
    ),
    Mutant(
        "every-missed-instant-is-passed-over-in-silence",
        "core/decide/firing.py",
        "    if first < latest:",
        "    if False:",
        (f"{FIRING}::test_after_a_time_without_leader_the_latest_instant_fires_and_those_before_it_are_accounted_for",),
    ),
    Mutant(
        "forbid-does-not-mind-earlier-runs",
        "core/decide/firing.py",
        "if schedule.plan.concurrency is ConcurrencyPolicy.FORBID and schedule.unfinished:",
        "if False:",
        (f"{FIRING}::test_while_an_earlier_run_goes_on_forbid_skips",),
    ),
    Mutant(
        "replace-deletes-before-it-knows-whether-it-may-fire",
        "core/decide/firing.py",
        "    if _is_too_late(schedule, latest, now) or not isinstance(ask(_requested(schedule, latest)), Decision):",
        "    if _is_too_late(schedule, latest, now):",
        (f"{FIRING}::test_nothing_is_deleted_for_a_run_that_would_be_refused",),
    ),
    Mutant(
        "pause-is-forgotten-with-the-node",
        "projections/schedules.py",
        "        return self.paused_since != NEVER",
        "        return False",
        ("projections/test_schedules.py::test_a_paused_one_is_never_due_until_it_is_resumed",),
    ),
    Mutant(
        "ended-runs-count-as-going-on",
        "projections/fold.py",
        "    state.schedules.finished(run.run)\n    enter_finished",
        "    enter_finished",
        (f"{FIRING}::test_while_an_earlier_run_goes_on_forbid_skips",),
    ),
    Mutant(
        "identical-schedules-are-one",
        "core/decide/scheduling.py",
        "            seen[said] += 1",
        "            pass",
        (f"{FIRING}::test_declared_schedules_keep_their_ids_and_identical_ones_have_their_own",),
    ),
    Mutant(
        "restored-marks-are-lost",
        "projections/snapshot.py",
        "    yield from _cut(_Table.SCHEDULE, state.schedules.by_id.values())",
        "    yield from ()",
        ("projections/test_schedules.py::test_a_restored_snapshot_has_all_of_it",),
    ),
    Mutant(
        "fixed-hour-fires-twice-in-autumn",
        "core/configuration/cron/instants.py",
        "        return self._repeats or not self._local(due).fold",
        "        return True",
        (f"{INSTANTS}::test_what_a_change_of_the_clocks_does",),
    ),
    Mutant(
        "what-clocks-jump-over-is-never-due",
        "core/configuration/cron/instants.py",
        "            if change + before <= wall < change + shift:",
        "            if False:",
        (f"{INSTANTS}::test_what_a_change_of_the_clocks_does",),
    ),
)
