"""Faults of the machine: what callers are told and when, what a leader may write, what a follower may answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.mutants.mutant import Mutant

MUTANTS: Final[Sequence[Mutant]] = (
    Mutant(
        "result-is-told-before-it-is-committed",
        "core/machine/answers.py",
        "while self._promises and self._promises.first.index <= committed:",
        "while self._promises:",
        ("core/machine/test_machine.py::test_a_leader_of_an_incomplete_cluster_answers_questions_and_takes_no_work",),
    ),
    Mutant(
        "read-is-told-before-it-is-committed",
        "core/machine/answers.py",
        "self._reads.first.barrier <= self._confirmed and self._reads.first.index <= committed:",
        "self._reads.first.barrier <= self._confirmed:",
        ("core/machine/test_machine.py::test_a_read_shows_what_is_not_durable_yet_only_when_it_is",),
    ),
    Mutant(
        "leader-that-was-deposed-answers-reads",
        "core/machine/answers.py",
        "self._reads.first.barrier <= self._confirmed and self._reads.first.index <= committed:",
        "self._reads.first.index <= committed:",
        ("core/machine/test_cluster_stories.py::test_a_leader_without_a_majority_answers_no_read",),
    ),
    Mutant(
        "what-another-leader-wrote-in-its-place-counts-as-done",
        "core/machine/answers.py",
        "elif term == promise.term:",
        "elif term:",
        (
            "core/machine/test_cluster_stories.py::test_a_deposed_leader_forgets_what_it_had_applied_and_nobody_committed",
        ),
    ),
    Mutant(
        "what-may-be-done-is-said-not-to-be-503-for-504",
        "core/machine/requests.py",
        "if not request.passed_on or isinstance(request.said, Asked):",
        "if True:",
        (
            "core/machine/test_machine.py::test_on_a_stalled_disk_nobody_waits_longer_and_a_trigger_is_told_that_its_outcome_is_unknown",
        ),
    ),
    Mutant(
        "deletion-is-promised-before-the-orchestrator-has-it",
        "core/machine/callers.py",
        "if self._journal.is_committed(wait.index, wait.term) and self._supervisor.deletion_accepted(run):",
        "if self._journal.is_committed(wait.index, wait.term):",
        (
            "core/machine/test_machine.py::test_the_deletion_of_a_bound_run_is_promised_when_the_orchestrator_has_taken_it_on",
        ),
    ),
)
