"""Faults about what is around: CronJobs, images that are not to be had, and a leader that sees nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.mutants.mutant import Mutant

SERVICES: Final = "core/machine/test_services.py"
DISCOVERING: Final = "core/decide/test_discovering.py"

MUTANTS: Final[Sequence[Mutant]] = (
    Mutant(
        "configuration-removes-what-was-found",
        "core/decide/configuring.py",
        "    return state.versions[state.current[name]].source is Source.ANNOTATION",
        "    return False",
        (f"{DISCOVERING}::test_a_proposal_of_the_configuration_leaves_alone_what_was_found",),
    ),
    Mutant(
        "broken-cron-job-loses-its-definition",
        "core/decide/discovering.py",
        "        if name not in found and name != DEFAULT_DEFINITION:",
        "        if name not in wanted and name != DEFAULT_DEFINITION:",
        (f"{DISCOVERING}::test_a_broken_one_keeps_what_was_good_and_says_so_until_it_is_mended",),
    ),
    Mutant(
        "found-definition-wins-over-the-configuration",
        "core/decide/discovering.py",
        "if _source(state, each.name) is not Source.CONFIGURATION}",
        "}",
        (f"{DISCOVERING}::test_the_configuration_wins_and_gives_way_again",),
    ),
    Mutant(
        "image-that-came-is-given-up-all-the-same",
        "projections/fold.py",
        "    run.without_image_since = -1\n    state.without_image.pop(event.run, None)",
        "    run.without_image_since = -1",
        (f"{SERVICES}::test_an_image_that_comes_in_time_saves_the_run",),
    ),
    Mutant(
        "blind-leaders-hand-over-for-ever",
        "core/machine/blindness.py",
        "        self._patience_seconds = min(2 * self._patience_seconds, LONGEST_PATIENCE_SECONDS)",
        "        pass",
        ("core/machine/test_blindness.py::test_where_nobody_sees_leadership_does_not_go_round_for_ever",),
    ),
    Mutant(
        "blind-leader-leads-on",
        "core/machine/leading.py",
        "        if not self._blindness.is_over(self._supervising.sees, now):",
        "        if True:",
        ("core/machine/test_blindness.py::test_a_leader_that_sees_nothing_for_long_lets_another_lead",),
    ),
)
