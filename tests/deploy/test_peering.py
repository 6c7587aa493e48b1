"""What peers may say: letters of their own, and of guests nothing but questions."""

from __future__ import annotations

import math

import msgspec
import pytest

from slimjobs.core.decide.commands import (
    Command,
    Configure,
    DeleteRun,
    RemoveMember,
    Requested,
    TransferLeadership,
    Trigger,
)
from slimjobs.core.machine.letters import Forwarded, Letter, Withdrawn, encode_letter
from slimjobs.core.machine.queries import ListRuns, Query, ShowCluster, ShowRun
from slimjobs.deploy.peering import Letters
from slimjobs.eventlog.events.definitions import EnvironmentVariable, Overrides
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.raft import Entry, EntryKind, Index, NodeId, Term
from slimjobs.eventlog.raft.messages import Append, Heartbeat, VoteRequest
from slimjobs.eventlog.transport.greeting import PROTOCOL, Greeting

ME, PEER, OTHER = NodeId(1), NodeId(2), NodeId(3)
HEARTBEAT = Heartbeat(PEER, ME, Term(4), Index(7))
QUESTION = Forwarded(PEER, ME, 12, ShowRun("fib", RunId(b"0123456789"), False), "")


def greeting(node: NodeId, *, guest: bool = False) -> Greeting:
    return Greeting(PROTOCOL, "c1", "b", node, empty=False, guest=guest, level=1, version="1")


@pytest.mark.parametrize("letter", [HEARTBEAT, QUESTION])
def test_a_peer_says_what_it_says_in_its_own_name(letter: Letter) -> None:
    assert Letters(trusted=False).decode(encode_letter(letter), greeting(PEER)) == letter
    with pytest.raises(ValueError, match="sent by b as node 3"):
        Letters(trusted=False).decode(encode_letter(letter), greeting(OTHER))


@pytest.mark.parametrize("letter", [QUESTION, Withdrawn(PEER, ME, 12)])
def test_a_guest_may_ask(letter: Letter) -> None:
    assert Letters(trusted=False).decode(encode_letter(letter), greeting(PEER, guest=True)) == letter


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
        Trigger((Requested(RUN, "fib"), Requested(RUN, "fib")), True),
    ],
)
def test_what_rest_would_refuse_is_refused_here_too(said: Command | Query) -> None:
    letter = Forwarded(PEER, ME, 12, said, "")
    with pytest.raises(ValueError, match="a "):
        Letters(trusted=False).decode(encode_letter(letter), greeting(PEER, guest=True))


@pytest.mark.parametrize(
    "said",
    [
        Configure({}),
        RemoveMember("a"),
        TransferLeadership(),
        ShowCluster(),
        ListRuns("fib", False),
        Trigger((Requested(RUN, "fib"),), internal=True),
        Trigger((Requested(RUN, "fib", Overrides(environments=(EnvironmentVariable("A", None, b"no"),))),), False),
    ],
)
def test_a_guest_asks_for_runs_as_an_external_caller_and_for_nothing_else(said: Command | Query) -> None:
    letter = encode_letter(Forwarded(PEER, ME, 12, said, ""))
    with pytest.raises(ValueError, match="guests may not send this Forwarded"):
        Letters(trusted=False).decode(letter, greeting(PEER, guest=True))


def test_a_guest_with_a_certificate_may_say_that_it_is_from_inside() -> None:
    letter = Forwarded(PEER, ME, 12, Trigger((Requested(RUN, "fib"),), internal=True), "")
    assert Letters(trusted=True).decode(encode_letter(letter), greeting(PEER, guest=True)) == letter


def entries(*places: tuple[int, int]) -> tuple[Entry, ...]:
    return tuple(Entry(Index(index), Term(term), EntryKind.RECORD, b"") for index, term in places)


@pytest.mark.parametrize(
    "letter",
    [
        VoteRequest(PEER, ME, Term(2**64 - 1), Index(0), Term(0)),
        Heartbeat(PEER, ME, Term(4), Index(2**63)),
        Append(PEER, ME, Term(4), Index(1), Term(1), Index(1), entries((3, 1))),
        Append(PEER, ME, Term(4), Index(1), Term(1), Index(1), entries((2, 1), (4, 1))),
        Append(PEER, ME, Term(4), Index(1), Term(1), Index(1), entries((2, 5))),
    ],
)
def test_what_no_node_ever_sends_is_no_letter(letter: Letter) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError), match=r"Expected `int` <=|cannot be|follow"):
        Letters(trusted=True).decode(encode_letter(letter), greeting(PEER))


def test_a_guest_has_no_say_in_consensus() -> None:
    with pytest.raises(ValueError, match="guests may not send this Heartbeat"):
        Letters(trusted=False).decode(encode_letter(HEARTBEAT), greeting(PEER, guest=True))
