"""Faults towards the world: objects created, released, swept and ended at the wrong time, or those of somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.mutants.mutant import Mutant

MUTANTS: Final[Sequence[Mutant]] = (
    Mutant(
        "run-is-released-before-its-binding-is-committed",
        "core/machine/supervising.py",
        '        if self._journal.append(everything, "orchestrator", now.wall_ms, new_work=False) is None:\n'
        "            self._supervisor.look_later(run)",
        '        applied = self._journal.append(everything, "orchestrator", now.wall_ms, new_work=False)\n'
        "        if applied is None:\n"
        "            self._supervisor.look_later(run)\n"
        "        else:\n"
        "            self._supervisor.commit(applied.record)",
        ("core/machine/test_machine.py::test_nothing_is_done_to_the_world_before_the_log_has_it",),
    ),
    Mutant(
        "orphan-is-swept-by-a-stale-read",
        "core/machine/supervising.py",
        "self._orphans[run] = self._answers.next_barrier()",
        "self._orphans[run] = 0",
        ("core/machine/test_cluster_stories.py::test_a_leader_without_a_majority_sweeps_nothing",),
    ),
    Mutant(
        "interruption-of-the-watch-is-passed-over",
        "core/supervisor/mirror.py",
        "                self._since_list_began.clear()",
        "                pass",
        ("core/supervisor/test_mirror.py::test_what_was_known_of_it_stays_known",),
    ),
    Mutant(
        "list-that-began-before-an-object-was-there-takes-it-away",
        "core/supervisor/mirror.py",
        "            if run in self._since_list_began:",
        "            if False:",
        ("core/supervisor/test_mirror.py::test_a_list_begun_before_an_object_was_created_does_not_make_it_vanish",),
    ),
    Mutant(
        "objects-of-another-cluster-are-listed-as-own",
        "core/supervisor/mirror.py",
        "[job for job in jobs if job.cluster == cluster]",
        "list(jobs)",
        ("core/supervisor/test_mirror.py::test_another_clusters_objects_are_not_seen",),
    ),
    Mutant(
        "what-an-earlier-watch-saw-is-believed",
        "core/machine/machine.py",
        "if observed.watch == self._leading.watch:",
        "if True:",
        ("core/machine/test_machine.py::test_what_was_seen_by_an_earlier_watch_is_passed_over",),
    ),
    Mutant(
        "two-effects-of-one-run-at-once",
        "core/supervisor/supervisor.py",
        "        if progress.under_way is not None:",
        "        if False:",
        ("core/supervisor/test_supervisor.py::test_only_one_effect_of_a_run_is_under_way",),
    ),
    Mutant(
        "orchestrator-is-asked-for-everything-at-once",
        "core/supervisor/supervisor.py",
        "return len(self._effects) < EFFECTS_AT_ONCE",
        "return True",
        ("core/supervisor/test_supervisor.py::test_at_most_32_effects_are_under_way_and_whoever_waits_has_its_turn",),
    ),
    Mutant(
        "leader-plans-before-it-has-seen-what-there-is",
        "core/supervisor/supervisor.py",
        "        if not self.mirror.listed:\n            return",
        "",
        ("core/supervisor/test_supervisor.py::test_a_new_leader_does_nothing_before_it_has_seen_what_there_is",),
    ),
    Mutant(
        "new-leader-takes-an-earlier-acceptance-for-granted",
        "core/supervisor/supervisor.py",
        "            progress.accepted = None",
        "            pass",
        ("core/supervisor/test_supervisor.py::test_a_new_leader_takes_no_earlier_acceptance_for_granted",),
    ),
    Mutant(
        "refused-creation-is-tried-for-ever",
        "core/supervisor/supervisor.py",
        "                progress.rejected = detail",
        "                pass",
        ("core/supervisor/test_supervisor.py::test_a_creation_refused_for_good_is_not_tried_again",),
    ),
    Mutant(
        "stranger-under-the-name-of-a-run-is-taken-for-its-object",
        "core/supervisor/plan.py",
        "return bool(bound) and seen.job is not None and not seen.gone and seen.job.uid != bound",
        "return False",
        ("core/supervisor/test_plan.py::test_the_next_step",),
    ),
    Mutant(
        "object-without-a-wish-is-left-for-ever",
        "core/supervisor/plan.py",
        "return Step.CHECK_ORPHAN if there and not ending and accepted is not Step.DELETE else Step.NOTHING",
        "return Step.NOTHING",
        ("core/supervisor/test_plan.py::test_the_next_step",),
    ),
    Mutant(
        "time-to-live-is-set-before-the-end",
        "projections/desired.py",
        "                    self.runs[run] = DesiredRun(Wanted.RELEASED, uid)",
        "                    self.runs[run] = DesiredRun(Wanted.EXPIRES, uid)",
        ("core/supervisor/test_supervisor.py::test_a_run_is_created_released_expired_and_forgotten",),
    ),
    Mutant(
        "service-is-asked-to-wake-twice-at-once",
        "core/supervisor/waking.py",
        "return progress.under_way is None and progress.retry_ns <= now_ns and",
        "return progress.retry_ns <= now_ns and",
        ("core/supervisor/test_waking.py::test_what_is_needed_and_sleeps_is_woken_once",),
    ),
    Mutant(
        "service-that-is-awake-is-woken",
        "core/supervisor/waking.py",
        "if service.replicas == 0 else None",
        "if not service.ready else None",
        ("core/supervisor/test_waking.py::test_nothing_else_is_woken",),
    ),
    Mutant(
        "service-sleeps-by-the-time-of-an-earlier-reign",
        "core/supervisor/waking.py",
        "        self._progress.clear()\n",
        "",
        ("core/supervisor/test_waking.py::test_a_new_leader_begins_to_count_anew",),
    ),
    Mutant(
        "who-scaled-a-service-meanwhile-is-not-heeded",
        "core/supervisor/waking.py",
        'progress.done_with, progress.failures, progress.trouble = version, 0, ""',
        'progress.failures, progress.trouble = 0, ""',
        ("core/supervisor/test_waking.py::test_who_scaled_it_meanwhile_wins",),
    ),
    Mutant(
        "what-cannot-be-seen-is-taken-for-gone",
        "core/supervisor/picture.py",
        "                self.trouble = detail",
        "                self.trouble, self.services = detail, {}",
        ("core/supervisor/test_waking.py::test_what_was_seen_stays_so_while_nothing_can_be_seen",),
    ),
    Mutant(
        "readiness-that-nobody-followed-is-believed",
        "core/machine/services.py",
        "        self.observed.intersection_update(names)\n",
        "",
        ("core/machine/test_services.py::test_readiness_that_nobody_followed_is_not_believed",),
    ),
    Mutant(
        "readiness-seen-in-an-earlier-reign-admits",
        "core/machine/services.py",
        "        self.observed.clear()\n        self._picture = Picture()\n",
        "        self.observed.update(self._journal.state.dependencies)\n        self._picture = Picture()\n",
        (
            "core/machine/test_machine.py::test_a_run_starts_when_what_it_depends_on_is_ready_and_after_a_restart_only_when_seen_anew",
        ),
    ),
    Mutant(
        "run-under-way-needs-nothing-any-more",
        "projections/fold.py",
        "    count_names(state.needed, state.depends_on(run.definition, run.overrides), 1)\n",
        "",
        ("projections/test_needs.py::test_a_run_needs_what_it_depends_on_from_its_trigger_to_its_end",),
    ),
)
