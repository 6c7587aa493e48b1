"""What can happen to a service, step by step, without processes."""

from __future__ import annotations

import pytest

from slimjobs.core.configuration.services import Service
from slimjobs.core.orchestrators.process.services import (
    KeptService,
    begun,
    declared_anew,
    ended,
    found,
    held_up,
    observed,
    scaled,
    trouble_of,
)
from slimjobs.core.orchestrators.process.states import KEEPER_LOST, Exit

WEB = Service(("web", "--fast"), 8081)
ASLEEP = KeptService("web", WEB, "v1")
STARTING = begun(scaled(ASLEEP, 1, "v2"), 0)
READY = found(STARTING, True)
TWO = found(begun(begun(scaled(ASLEEP, 2, "v2"), 0), 1), True)


def said(kept: KeptService) -> str:
    shown = observed(kept)
    assert shown.ready == (shown.reason == "")
    return shown.reason or "ready"


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        (ASLEEP, "it is asleep"),
        (scaled(ASLEEP, 1, "v2"), "nothing answers on port 8081 yet"),
        (STARTING, "nothing answers on port 8081 yet"),
        (found(STARTING, False), "nothing answers on port 8081 yet"),
        (READY, "ready"),
        (held_up(scaled(ASLEEP, 1, "v2"), "taken"), "taken"),
        (ended(READY, 0, "gone"), "gone"),
        (begun(ended(READY, 0, "gone"), 0), "gone"),
        (found(begun(ended(READY, 0, "gone"), 0), True), "ready"),
        (scaled(READY, 0, "v3"), "it is asleep"),
        (scaled(ended(READY, 0, "gone"), 0, "v3"), "it is asleep"),
        (scaled(scaled(READY, 0, "v3"), 1, "v4"), "nothing answers on port 8081 yet"),
        (ended(TWO, 0, "gone"), "ready"),
        (found(ended(TWO, 0, "gone"), False), "gone"),
        (ended(ended(TWO, 0, "gone"), 1, "gone too"), "gone too"),
        (scaled(TWO, 1, "v3"), "ready"),
    ],
)
def test_why_a_service_is_not_ready(kept: KeptService, reason: str) -> None:
    assert said(kept) == reason


@pytest.mark.parametrize(
    ("kept", "doubtful"),
    [
        (ASLEEP, False),
        (scaled(ASLEEP, 1, "v2"), False),
        (STARTING, True),
        (found(STARTING, False), True),
        (READY, False),
        (ended(READY, 0, "gone"), False),
        (ended(TWO, 1, "gone"), True),
        (found(ended(TWO, 1, "gone"), True), False),
        (begun(READY, 1), False),
        (scaled(TWO, 1, "v3"), True),
        (scaled(READY, 2, "v3"), False),
    ],
)
def test_a_port_is_looked_at_only_while_it_is_not_known_whether_it_answers(kept: KeptService, doubtful: bool) -> None:
    assert kept.doubtful == doubtful


def test_the_version_changes_with_replicas_and_declaration_only() -> None:
    assert scaled(READY, 1, "v3") is READY
    assert declared_anew(READY, Service(("web", "--fast"), 8081), "v3") is READY
    assert scaled(READY, 2, "v3").version == "v3"
    assert declared_anew(READY, Service(WEB.command, 8081, sleep_after_seconds=1), "v3").version == "v3"
    assert {step.version for step in (ended(READY, 0, "gone"), found(READY, False), begun(READY, 0))} == {"v2"}


@pytest.mark.parametrize("other", [Service(("web", "--slow"), 8081), Service(WEB.command, 8082)])
def test_a_process_of_another_program_does_not_count(other: Service) -> None:
    changed = declared_anew(READY, other, "v3")
    assert (changed.replicas, changed.running) == (1, frozenset())
    assert said(changed) == f"nothing answers on port {other.ready_port} yet"


def test_processes_stay_when_only_the_sleep_is_declared_otherwise() -> None:
    assert said(declared_anew(READY, Service(WEB.command, 8081, 3, 10), "v3")) == "ready"


@pytest.mark.parametrize(
    ("exit", "last_words", "trouble"),
    [
        (
            Exit(127, "StartError"),
            "slimjobs: cannot start web: No such file",
            "its program cannot be started: No such file",
        ),
        (Exit(127, "StartError"), "", "its program cannot be started: exit code 127"),
        (Exit(1, "Error"), "a secret: 1234", "its process ended with exit code 1, and is started again"),
        (Exit(0, "Completed"), "", "its process ended with exit code 0, and is started again"),
        (KEEPER_LOST, "", "its process was killed with what kept it, and is started again"),
    ],
)
def test_what_went_wrong_tells_nothing_of_what_a_process_wrote(exit: Exit, last_words: str, trouble: str) -> None:
    assert trouble_of(exit, last_words) == trouble
