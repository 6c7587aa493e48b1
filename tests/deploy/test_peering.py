"""What peers may say: letters of their own, and of guests nothing but questions."""

from __future__ import annotations

import math

import pytest

from slimjobs.core.decide.commands import Command, DeleteRun, Requested, Trigger
from slimjobs.core.machine.letters import Forwarded, Letter, Withdrawn, encode_letter
from slimjobs.core.machine.queries import ListRuns, Query, ShowCluster, ShowRun
from slimjobs.deploy.peering import Letters
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.raft import Index, NodeId, Term
from slimjobs.eventlog.raft.messages import Heartbeat
from slimjobs.eventlog.transport.greeting import PROTOCOL, Greeting

ME, PEER, OTHER = NodeId(1), NodeId(2), NodeId(3)
HEARTBEAT = Heartbeat(PEER, ME, Term(4), Index(7))
QUESTION = Forwarded(PEER, ME, 12, ShowCluster(), "")


def greeting(node: NodeId, *, guest: bool = False) -> Greeting:
    return Greeting(PROTOCOL, "c1", "b", node, empty=False, guest=guest, level=1, version="1")


@pytest.mark.parametrize("letter", [HEARTBEAT, QUESTION])
def test_a_peer_says_what_it_says_in_its_own_name(letter: Letter) -> None:
    assert Letters().decode(encode_letter(letter), greeting(PEER)) == letter
    with pytest.raises(ValueError, match="sent by b as node 3"):
        Letters().decode(encode_letter(letter), greeting(OTHER))


@pytest.mark.parametrize("letter", [QUESTION, Withdrawn(PEER, ME, 12)])
def test_a_guest_may_ask(letter: Letter) -> None:
    assert Letters().decode(encode_letter(letter), greeting(PEER, guest=True)) == letter


RUN = RunId(b"0123456789")


@pytest.mark.parametrize(
    "said",
    [
        Trigger((Requested(RUN, "../fib"),), True),
        Trigger((Requested(RUN, "fib"), Requested(RunId(b"short"), "fib")), True),
        DeleteRun("fib", RunId(b""), True),
        ShowRun("FIB", RUN, True),
        ShowRun("fib", RUN, True, math.inf),
        ShowRun("fib", RUN, True, math.nan),
        ShowRun("fib", RUN, True, 1e9),
        ListRuns("fib", True, limit=1_000_000),
    ],
)
def test_what_rest_would_refuse_is_refused_here_too(said: Command | Query) -> None:
    letter = Forwarded(PEER, ME, 12, said, "")
    with pytest.raises(ValueError, match="a "):
        Letters().decode(encode_letter(letter), greeting(PEER, guest=True))


def test_a_guest_has_no_say_in_consensus() -> None:
    with pytest.raises(ValueError, match="guests send no Heartbeat"):
        Letters().decode(encode_letter(HEARTBEAT), greeting(PEER, guest=True))
