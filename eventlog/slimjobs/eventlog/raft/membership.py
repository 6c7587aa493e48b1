"""Who belongs: every membership that the log holds, and the steps from one to the next (thesis, chapter 4)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from slimjobs.eventlog.raft.types import ChangeKind, Entry, EntryKind, Index, Membership, MembershipChange

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Membership)


def encode_membership(membership: Membership) -> bytes:
    """The payload of a configuration entry."""
    return _encoder.encode(membership)


def decode_membership(payload: bytes) -> Membership:
    """The membership of a configuration entry; `msgspec.DecodeError` if it is none."""
    return _decoder.decode(payload)


# Thesis §4.1: memberships that differ by one voter have overlapping majorities, so each may take effect at once.
def changed(membership: Membership, change: MembershipChange) -> Membership | None:
    """The membership after this step; None if it would change nothing, demote a voter or leave none."""
    node, voters, learners = change.node, membership.voters, membership.learners
    others = tuple(learner for learner in learners if learner != node)
    match change.kind:
        case ChangeKind.ADD_LEARNER if node not in voters and node not in learners:
            return Membership(voters, (*learners, node))
        case ChangeKind.ADD_VOTER if node not in voters:
            return Membership((*voters, node), others)
        case ChangeKind.REMOVE if node in learners:
            return Membership(voters, others)
        case ChangeKind.REMOVE if node in voters and len(voters) > 1:
            return Membership(tuple(voter for voter in voters if voter != node), learners)
    return None


class Memberships:
    """The membership at the snapshot and every later one, each in force from the moment its entry is appended."""

    def __init__(self, base: tuple[Index, Membership], later: Sequence[tuple[Index, Membership]] = ()) -> None:
        self._known = [base, *((index, each) for index, each in later if index > base[0])]

    @property
    def current(self) -> Membership:
        """The one in force: the latest in the log, committed or not (thesis §4.1)."""
        return self._known[-1][1]

    @property
    def changed_at(self) -> Index:
        """The index of the entry that brought the current one."""
        return self._known[-1][0]

    def at(self, index: Index) -> Membership:
        """The one in force at `index`, which is not before the snapshot."""
        return [each for at, each in self._known if at <= index][-1]

    def since(self, index: Index) -> Sequence[Membership]:
        """The one in force at `index`, and every later one."""
        return [self.at(index), *(each for at, each in self._known if at > index)]

    def learn(self, entries: Sequence[Entry]) -> bool:
        """Take up the memberships among newly appended entries; whether there were any."""
        found = [entry for entry in entries if entry.kind is EntryKind.CONFIGURATION]
        self._known += [(entry.index, decode_membership(entry.payload)) for entry in found]
        return bool(found)

    # Thesis §4.1: a server always uses the latest membership in its log, so cutting the log takes it back.
    def truncate(self, after: Index) -> None:
        """Forget those of entries that were cut."""
        self._known = [each for position, each in enumerate(self._known) if position == 0 or each[0] <= after]

    def compact(self, index: Index) -> None:
        """Forget those that were replaced before a snapshot of `index`."""
        self._known = [(index, self.at(index)), *(each for each in self._known if each[0] > index)]
