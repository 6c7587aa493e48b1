"""Faults of schedules: instants that fire twice or never, early or late, and marks that do not say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.mutants.mutant import Mutant

FIRING: Final = "core/decide/test_firing.py"
INSTANTS: Final = "core/configuration/test_instants.py"
FOLDER: Final = "core/backups/test_folder.py"
RESTORING: Final = "core/decide/test_restoring.py"

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
    Mutant(
        "empty-log-writes-over-a-backup",
        "core/backups/keeping.py",
        "        return Step.WRITE if own.schedules else Step.LEAVE\n    if found is None or",
        "        return Step.WRITE if own.schedules else Step.LEAVE\n    if",
        (f"{FOLDER}::test_what_cannot_be_read_is_never_written_over",),
    ),
    Mutant(
        "node-that-is-behind-writes-over-a-newer-backup",
        "core/backups/keeping.py",
        "(found.index > own.index or found.sha256 == own.sha256)",
        "found.sha256 == own.sha256",
        (f"{FOLDER}::test_what_is_done",),
    ),
    Mutant(
        "damaged-backup-is-taken",
        "core/backups/document.py",
        "    if checksum(head.schedules) != head.sha256 and not edited:",
        "    if False:",
        ("core/backups/test_document.py::test_an_edited_one_is_refused_unless_somebody_means_it",),
    ),
    Mutant(
        "restore-fires-what-may-have-fired",
        "core/decide/restoring.py",
        "    if due != NEVER and due <= at and backed.paused_since == NEVER:",
        "    if False:",
        (f"{RESTORING}::test_what_was_due_before_the_restore_never_fires_and_is_accounted_for",),
    ),
    Mutant(
        "restore-without-marks",
        "core/decide/restoring.py",
        "    marks = backed.last_fired, backed.paused_since",
        "    marks = NEVER, NEVER",
        (f"{RESTORING}::test_a_schedule_comes_back_with_its_marks",),
    ),
    Mutant(
        "any-backup-is-the-one-that-is-waited-for",
        "core/decide/restoring.py",
        "command.expected is not None and command.expected == state.schedules.expected",
        "command.expected is not None",
        (f"{RESTORING}::test_another_than_the_one_that_is_waited_for_is_not_taken",),
    ),
    Mutant(
        "founder-takes-its-own-backup",
        "core/machine/members.py",
        "max((self.greeting, *self._others_met()), key=lambda each: each.backup)",
        "self.greeting",
        ("core/machine/test_backups.py::test_the_newest_is_restored_once_through_changes_of_leader",),
    ),
    Mutant(
        "founder-does-not-wait-for-all",
        "core/machine/leading.py",
        "self._members.has_met_all and self._append(",
        "self._append(",
        ("core/machine/test_backups.py::test_a_founder_that_is_interrupted_meets_all_again_before_it_founds",),
    ),
)
