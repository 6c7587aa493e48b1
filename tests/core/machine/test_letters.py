"""What nodes tell each other is judged before it is believed: requests that come twice or late, reports of a few."""

from __future__ import annotations

from slimjobs.core.machine.inputs import Now, Received
from slimjobs.core.machine.letters import Forwarded, Letter, NotLeading, Report
from slimjobs.core.machine.outbox import Outbox
from slimjobs.core.machine.reports import Reports, Seen
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.eventlog.events.cluster import CheckpointAgreed
from slimjobs.eventlog.raft import Index, NodeId, Term
from tests.core.machine.test_cluster_stories import followers, run_of, the_leader, three_nodes, trigger
from tests.eventlog.raft.alone import ME, A, B, lead, node_with

AT = Index(7)


def test_the_same_request_is_welcome_once_as_long_as_it_waits() -> None:
    outbox = Outbox(ME)
    guest = outbox.welcome(A, 1)
    assert guest is not None
    assert outbox.welcome(A, 1) is None
    assert outbox.welcome(B, 1) is not None
    outbox.dismiss(guest)
    assert outbox.welcome(A, 1) is not None


def test_a_request_that_was_meant_for_an_earlier_reign_is_sent_back_and_not_done() -> None:
    world = three_nodes()
    leader, sender = the_leader(world), followers(world)[0]
    sent_back: list[Letter] = []

    def overhears(letter: Letter) -> bool:
        sent_back.extend([letter] if isinstance(letter, NotLeading) else [])
        return False

    world.network.loses = overhears
    earlier = Term(leader.raft.term - 1)
    world.tell(leader.name, Received(Forwarded(sender.raft.id, leader.raft.id, 99, trigger(1), "", earlier)))
    world.run_for(5)
    assert sent_back == [NotLeading(leader.raft.id, sender.raft.id, 99)]
    assert run_of(1) not in world.chronicle.enqueued


def test_a_checkpoint_is_agreed_on_when_a_majority_was_in_the_same_state() -> None:
    raft = lead(node_with()).raft
    reports = Reports(raft, Outbox(ME), MachineSettings())

    def reported(sender: NodeId, digest: bytes) -> CheckpointAgreed | None:
        reports.take(Report(sender, ME, 0, AT, AT, AT, digest, 1, "", raft.term), Now(0, 0))
        return reports.agreement(Seen(AT, b"one"))

    assert reported(A, b"other") is None
    assert reported(B, b"other") == CheckpointAgreed(AT, b"other")
