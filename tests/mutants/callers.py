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
    Mutant(
        "deletion-is-promised-before-it-is-committed",
        "core/machine/callers.py",
        "if self._journal.is_committed(wait.index, wait.term) and self._supervisor.deletion_accepted(run):",
        "if self._supervisor.deletion_accepted(run):",
        (
            "core/machine/test_machine.py::test_the_deletion_of_a_run_whose_object_is_gone_is_promised_when_it_is_durable",
        ),
    ),
    Mutant(
        "same-guest-is-taken-twice",
        "core/machine/outbox.py",
        "if (sender, token) in self._guest_tokens:",
        "if False:",
        ("core/machine/test_letters.py::test_the_same_request_is_welcome_once_as_long_as_it_waits",),
    ),
    Mutant(
        "request-to-a-reign-that-is-over-is-taken",
        "core/machine/machine.py",
        "letter.term in (self._raft.term, 0)",
        "letter.term >= 0",
        ("core/machine/test_letters.py::test_a_request_that_was_meant_for_an_earlier_reign_is_sent_back_and_not_done",),
    ),
    Mutant(
        "node-without-room-writes-new-work",
        "core/machine/journal.py",
        "if not self._fits(size, HEADROOM_BYTES if new_work else FLOOR_BYTES):",
        "if False:",
        ("core/machine/test_machine.py::test_a_full_disk_refuses_new_work_and_everything_else_goes_on",),
    ),
    Mutant(
        "clock-that-goes-back-is-stamped",
        "core/machine/journal.py",
        "Record(max(self.state.at, wall_ms), cause,",
        "Record(wall_ms, cause,",
        ("core/machine/test_machine.py::test_a_clock_that_goes_back_stamps_nothing_before_what_was_stamped",),
    ),
    Mutant(
        "leader-stamps-whatever-its-clock-says",
        "core/machine/leading.py",
        "self._may_stamp = enough and not self._hands_over(now)",
        "self._may_stamp = enough",
        (
            "core/machine/test_cluster_stories.py::test_a_leader_whose_clock_is_wrong_hands_over_and_none_of_its_times_gets_into_the_log",
        ),
    ),
    Mutant(
        "state-keeps-records-that-were-cut-from-the-log",
        "core/machine/machine.py",
        "        if self._journal.is_astray:",
        "        if False:",
        (
            "core/machine/test_cluster_stories.py::test_a_deposed_leader_forgets_what_it_had_applied_and_nobody_committed",
        ),
    ),
    Mutant(
        "hash-of-a-checkpoint-is-not-compared",
        "core/machine/checkpoints.py",
        "if own is not None and own != agreed:",
        "if False:",
        ("core/machine/test_cluster_stories.py::test_a_node_in_another_state_than_the_majority_stops",),
    ),
    Mutant(
        "minority-agrees-on-a-checkpoint",
        "core/machine/reports.py",
        "if count > len(voters) // 2:",
        "if count:",
        ("core/machine/test_letters.py::test_a_checkpoint_is_agreed_on_when_a_majority_was_in_the_same_state",),
    ),
    Mutant(
        "cluster-is-founded-although-a-peer-is-away",
        "core/machine/members.py",
        "return self.has_met_all and all(met.empty",
        "return all(met.empty",
        ("core/machine/test_cluster_stories.py::test_a_cluster_is_founded_only_when_all_peers_are_met",),
    ),
    Mutant(
        "two-clusters-talk-to-each-other",
        "core/machine/members.py",
        "if own and greeting.cluster and own != greeting.cluster:",
        "if False:",
        ("core/node/test_opening.py::test_a_node_with_another_clusters_directory_is_not_talked_to",),
    ),
    Mutant(
        "writes-begin-without-a-majority-of-those-configured",
        "core/machine/leading.py",
        "        if self._is_whole:\n            self._callers.serve(",
        "        if True:\n            self._callers.serve(",
        ("core/machine/test_machine.py::test_a_leader_of_an_incomplete_cluster_answers_questions_and_takes_no_work",),
    ),
    Mutant(
        "follower-answers-before-it-has-what-it-answers-from",
        "core/machine/forwarding.py",
        "if reading.index and self._journal.taken_up >= reading.index and not self._journal.is_ahead:",
        "if reading.index:",
        ("core/machine/test_cluster_stories.py::test_a_follower_answers_when_it_holds_what_the_answer_has_to_show",),
    ),
)
