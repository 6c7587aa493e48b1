"""What can happen to a run: from the trigger that was accepted to the last trace of it.

    RunEnqueued -> RunAdmitted -> RunBound -> AttemptStarted/AttemptEnded ... -> RunSucceeded | RunFailed -> RunsExpired
    RunDeleted may come at any time before RunsExpired; RunGone follows it when the object of a bound run is gone.

The states and what may follow what stand in `slimjobs.projections.run_states`.
"""

from __future__ import annotations

import base64
import re
from typing import Final, NewType

import msgspec

from slimjobs.eventlog.events.definitions import Overrides

RunId = NewType("RunId", bytes)
"""10 bytes, minted by the node that a trigger enters; people see them as 16 lower-case base32 characters."""


RUN_ID_BYTES: Final = 10

_RUN_ID: Final = re.compile(r"[a-z2-7]{16}")


def run_id_text(run: RunId) -> str:
    """The id as people see it: 16 characters of `a-z2-7` (contract §2)."""
    return base64.b32encode(run).decode().lower()


def parse_run_id(text: str) -> RunId | None:
    """The id that this text stands for, or None where it cannot be one (only the canonical lower-case form is)."""
    return RunId(base64.b32decode(text.upper())) if _RUN_ID.fullmatch(text) else None


def job_object_name(job: str, run: RunId) -> str:
    """The name of the Kubernetes Job (or of the runner's object) of a run (contract §2)."""
    return f"{job}-slimfaas-job-{run_id_text(run)}"


class RunEnqueued(msgspec.Struct, frozen=True, array_like=True, tag=20, gc=False):
    """A trigger was accepted. `definition` is the number of the definition's version that accepted it."""

    run: RunId
    job: str
    definition: int
    overrides: Overrides = Overrides()
    path: str = ""


class RunAdmitted(msgspec.Struct, frozen=True, array_like=True, tag=21, gc=False):
    """The run left the queue and holds a slot."""

    run: RunId


class RunBound(msgspec.Struct, frozen=True, array_like=True, tag=22, gc=False):
    """The one object that may ever be released for this run."""

    run: RunId
    uid: str


class AttemptStarted(msgspec.Struct, frozen=True, array_like=True, tag=23, gc=False):
    """A pod or process of the run runs, since `started_at_ms` by the orchestrator's clock."""

    run: RunId
    attempt: int
    started_at_ms: int


class AttemptEnded(msgspec.Struct, frozen=True, array_like=True, tag=24, gc=False):
    """A pod or process of the run ended; the run itself may go on with another."""

    run: RunId
    attempt: int
    ended_at_ms: int
    exit_code: int | None
    reason: str


class ImageNotPulled(msgspec.Struct, frozen=True, array_like=True, tag=25, gc=False):
    """The run's pod waits for its image (Kubernetes' ImagePullBackOff and its relatives)."""

    run: RunId
    detail: str


class ImageGivenUp(msgspec.Struct, frozen=True, array_like=True, tag=32, gc=False):
    """The run has waited for its image for as long as its definition allows: its object is to end as failed."""

    run: RunId


class RunSucceeded(msgspec.Struct, frozen=True, array_like=True, tag=26, gc=False):
    """The run ended well and gave its slot back."""

    run: RunId


class RunFailed(msgspec.Struct, frozen=True, array_like=True, tag=27, gc=False):
    """The run ended badly and gave its slot back. `reason` is one CamelCase word, `detail` is for people."""

    run: RunId
    reason: str
    detail: str = ""


class RunDeleted(msgspec.Struct, frozen=True, array_like=True, tag=28, gc=False):
    """Somebody deleted the run: it leaves the lists and nothing of it may start any more."""

    run: RunId


class RunGone(msgspec.Struct, frozen=True, array_like=True, tag=29, gc=False):
    """The object of a deleted run is gone, with everything that ran of it."""

    run: RunId


class RunsExpired(msgspec.Struct, frozen=True, array_like=True, tag=30, gc=False):
    """Ended runs left the lists: their time to live passed, or newer ones took their place."""

    runs: tuple[RunId, ...]


class KeyUsed(msgspec.Struct, frozen=True, array_like=True, tag=31, gc=False):
    """An idempotency key was used: what it asked for (digest of the parsed body) and the runs that answered it.

    `key` is the digest of the key with its scope; `runs` are the ids in order, joined.
    """

    key: bytes
    body: bytes
    runs: bytes
