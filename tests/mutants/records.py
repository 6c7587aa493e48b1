"""Faults of the records: what is decided, what one record holds, what a state remembers, what a snapshot keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.mutants.mutant import Mutant

MUTANTS: Final[Sequence[Mutant]] = (
    Mutant(
        "snapshot-without-the-chain",
        "projections/snapshot.py",
        "        state.chain,",
        '        b"",',
        ("projections/test_fold.py::test_a_restored_snapshot_is_the_fold_and_goes_on_like_it",),
    ),
    Mutant(
        "keys-are-forgotten-with-the-node",
        "projections/snapshot.py",
        "    yield from _cut(_Table.KEY, state.keys.items())",
        "    yield from ()",
        ("core/machine/test_crashes.py::test_whatever_happens_in_whatever_order_promises_are_kept[0]",),
    ),
    Mutant(
        "key-is-forgotten-too-early",
        "projections/fold.py",
        "if state.keys[key].at > at - KEY_LIFETIME_MS:",
        "if state.keys[key].at > at - KEY_LIFETIME_MS // 2:",
        ("core/decide/test_triggering.py::test_what_is_written_meanwhile_forgets_no_key_too_early",),
    ),
    Mutant(
        "key-is-answered-whatever-the-body-is",
        "core/decide/triggering.py",
        "return used.runs if used.body == key.body else KeyReused()",
        "return used.runs",
        ("core/decide/test_triggering.py::test_a_key_with_another_body_is_refused",),
    ),
    Mutant(
        "key-is-not-in-the-record-that-enqueues",
        "core/decide/triggering.py",
        "        events.append(KeyUsed(command.key.key, command.key.body, joined))",
        "        pass",
        ("core/decide/test_triggering.py::test_a_key_with_the_same_body_gives_the_first_answer_and_enqueues_nothing",),
    ),
    Mutant(
        "admission-is-not-in-the-record-that-enqueues",
        "core/decide/triggering.py",
        "            events.append(RunAdmitted(requested.run))",
        "            pass",
        ("core/decide/test_triggering.py::test_a_free_slot_is_given_in_the_record_that_enqueues",),
    ),
    Mutant(
        "request-that-is-passed-on-twice-is-done-twice",
        "core/decide/triggering.py",
        "if state.run_state(requested.run) is not None:",
        "if False:",
        ("core/decide/test_triggering.py::test_the_same_ids_passed_on_twice_are_enqueued_once",),
    ),
    Mutant(
        "cap-is-counted-a-request-not-from-the-log",
        "core/decide/triggering.py",
        "if queue.free > taken and",
        "if queue.slots > taken and",
        ("core/decide/test_triggering.py::test_names_without_a_definition_share_one_queue_and_one_cap",),
    ),
    Mutant(
        "latecomer-overtakes-who-waits-for-a-slot",
        "core/decide/triggering.py",
        "return not queue.order.length or next(could_start(state, queue, observed), None) is None",
        "return True",
        (
            "core/decide/test_triggering.py::test_who_comes_before_a_free_slot_is_given_overtakes_nobody_who_may_have_it",
        ),
    ),
    Mutant(
        "lanes-are-not-merged-in-the-order-of-arrival",
        "core/decide/admission.py",
        "return heapq.merge(*(lane.after(-1) for lane in lanes))",
        "return iter([ordinal for lane in lanes for ordinal in lane.after(-1)])",
        (
            "core/decide/test_any_history.py::test_when_the_world_is_well_every_accepted_run_ends_in_exactly_one_outcome",
        ),
    ),
    Mutant(
        "lanes-pass-over-what-their-runs-wait-for",
        "core/decide/admission.py",
        "if not not_ready(state, names, observed)]",
        "]",
        ("core/decide/test_any_history.py::test_every_record_keeps_the_cap_and_the_order_and_ends_a_run_once",),
    ),
    Mutant(
        "bound-run-gives-its-slot-back-when-its-deletion-is-asked",
        "core/decide/deleting.py",
        "if active is not None and not active.uid:",
        "if active is not None:",
        ("core/decide/test_deleting.py::test_a_bound_run_holds_its_slot_until_its_object_is_gone",),
    ),
    Mutant(
        "slot-of-an-ended-run-is-freed-twice",
        "core/decide/admission.py",
        "case RunGone(run) if state.deleted[run].holds_slot:",
        "case RunGone(run):",
        ("core/decide/test_deleting.py::test_an_ended_runs_deletion_frees_nothing_twice",),
    ),
    Mutant(
        "lowered-cap-is-overrun",
        "core/decide/configuring.py",
        "free = proposed.definition.number_parallel_job - len(queue.holders)",
        "free = proposed.definition.number_parallel_job",
        ("core/decide/test_configuring.py::test_a_raised_cap_admits_in_the_same_record",),
    ),
    Mutant(
        "ended-run-leaves-the-lists-before-its-time",
        "core/decide/expiring.py",
        " and state.expiries[node][0] <= at:",
        ":",
        ("core/decide/test_deleting.py::test_an_ended_run_leaves_the_lists_when_its_time_to_live_is_over",),
    ),
    Mutant(
        "object-that-is-ending-is-bound",
        "core/decide/observing.py",
        "if job is not None and not seen.gone and not job.ending else",
        "if job is not None and not seen.gone else",
        ("core/decide/test_observing.py::test_an_admitted_run_is_bound_to_the_object_that_is_there",),
    ),
    Mutant(
        "run-is-bound-twice",
        "core/decide/observing.py",
        "    if not run.uid:",
        "    if not run.uid or (job is not None and job.uid != run.uid):",
        ("core/decide/test_observing.py::test_a_bound_run_learns_from_its_own_object_only",),
    ),
    Mutant(
        "run-whose-object-vanished-never-ends",
        "core/decide/observing.py",
        "return (_vanished(run.run),) if gone else ()",
        "return ()",
        ("core/decide/test_observing.py::test_a_bound_run_learns_from_its_own_object_only",),
    ),
    Mutant(
        "full-queue-takes-more",
        "core/decide/triggering.py",
        "if len(state.queued) + len(command.runs) > limits.queued_jobs:",
        "if False:",
        (
            "core/decide/test_triggering.py::test_no_more_runs_are_queued_than_the_limit_says_and_a_batch_fits_whole_or_not_at_all",
        ),
    ),
    Mutant(
        "outsiders-see-private-jobs",
        "core/decide/triggering.py",
        "if internal or _is_public(state, job):",
        "if True:",
        ("core/decide/test_deleting.py::test_outsiders_may_not_delete_what_is_private_known_or_not",),
    ),
    Mutant(
        "cap-is-counted-from-what-the-watch-has-shown",
        "core/decide/triggering.py",
        "if queue.free > taken and",
        "shown = sum(1 for run in queue.holders if run in state.active and state.active[run].uid)\n"
        "        if queue.slots - shown > taken and",
        ("core/decide/test_triggering.py::test_names_without_a_definition_share_one_queue_and_one_cap",),
    ),
)
