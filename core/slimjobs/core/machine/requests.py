"""A caller's request on its way through the machine: wherever it is, it is in one place, and it has a deadline.

waiting --- this node leads ---> decided, or read
waiting --- it follows a leader ---> passed on, or read here once the leader has said from which index on
passed on, held or promised --- that leader is none any more ---> waiting
"""

from __future__ import annotations

import msgspec

from slimjobs.core.decide.commands import Command, DeleteRun, RemoveSchedule, Result, RunSchedule, Trigger
from slimjobs.core.decide.refusals import NoLeader, OutcomeUnknown, Refusal
from slimjobs.core.machine.inputs import Asked, Called, Token
from slimjobs.core.machine.queries import Query, ShowRun, View
from slimjobs.eventlog.events.runs import RunId

Value = Result | View | Refusal
"""What a caller can be told."""


class Request(msgspec.Struct, frozen=True, gc=False):
    """Somebody waits for an answer until `until_ns` (monotonic). `passed_on`: another node may have done it already."""

    said: Called | Asked
    until_ns: int
    passed_on: bool = False

    @property
    def request(self) -> Request:
        """Itself: as it stands in a line."""
        return self

    @property
    def token(self) -> Token:
        return self.said.token

    @property
    def wish(self) -> Command | Query:
        """What is asked for."""
        return self.said.command if isinstance(self.said, Called) else self.said.query


def asked_again(request: Request) -> Request:
    """The request after it was passed on without an answer: harmless if it was done already (contract §2).

    Triggers carry their ids. A deletion says that it may be its own predecessor. Who waited for a change is told how
    things are now: the change may be the one that was missed.
    """
    match request.said:
        case Called(token, DeleteRun() as command, cause):
            said: Called | Asked = Called(token, msgspec.structs.replace(command, repeated=True), cause)
        case Called(token, RemoveSchedule() as command, cause):
            said = Called(token, msgspec.structs.replace(command, repeated=True), cause)
        case Asked(token, ShowRun() as query, stale):
            said = Asked(token, msgspec.structs.replace(query, wait_seconds=0.0), stale)
        case _:
            said = request.said
    return Request(said, request.until_ns, passed_on=True)


def told_too_late(request: Request, why: str = "") -> Refusal:
    """What is certain when the patience is over: what nobody was told was not done, nor can a question do anything."""
    if not request.passed_on or isinstance(request.said, Asked):
        return NoLeader(why) if why else NoLeader()
    return OutcomeUnknown(_looked_up_by(request.said.command))


def _looked_up_by(command: Command) -> tuple[RunId, ...]:
    match command:
        case Trigger():
            return tuple(each.run for each in command.runs)
        case RunSchedule():
            return (command.run,)
    return ()
