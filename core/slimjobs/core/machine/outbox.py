"""What leaves the machine: outputs, letters to other nodes, and answers, which may be either.

A caller of another node is a *guest*: it has a token here like anybody, and its answer is a letter.
"""

from __future__ import annotations

from slimjobs.core.machine.inputs import Token
from slimjobs.core.machine.letters import Answered, Letter, NotLeading
from slimjobs.core.machine.outputs import Answer, Output, Send
from slimjobs.core.machine.requests import Value
from slimjobs.eventlog.raft import Index, NodeId


class Outbox:
    """Filled while the machine is called, and emptied at the end of the call."""

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.outputs: list[Output] = []
        self.letters: list[Letter] = []
        self._guests: dict[Token, tuple[NodeId, int]] = {}
        self._guest_tokens: dict[tuple[NodeId, int], Token] = {}
        self._last_guest = 0

    def take(self) -> list[Output]:
        """Everything, letters first: those who get them have a disk to wait for too."""
        outputs, self.outputs = self.outputs, []
        if self.letters:
            outputs.insert(0, Send(self.letters))
            self.letters = []
        return outputs

    def welcome(self, sender: NodeId, token: int) -> Token | None:
        """The token of a guest (they are negative); None if the same request waits here already."""
        if (sender, token) in self._guest_tokens:
            return None
        self._last_guest -= 1
        guest = self._guest_tokens[sender, token] = Token(self._last_guest)
        self._guests[guest] = sender, token
        return guest

    def guest(self, sender: NodeId, token: int) -> Token | None:
        """The token of a guest that waits."""
        return self._guest_tokens.get((sender, token))

    def is_guest(self, token: Token) -> bool:
        """Whether another node waits for this answer."""
        return token in self._guests

    def dismiss(self, token: Token) -> tuple[NodeId, int]:
        """A guest waits no more; who it was."""
        guest = self._guests.pop(token)
        del self._guest_tokens[guest]
        return guest

    def answer(self, token: Token, index: Index, value: Value) -> None:
        """Tell a caller, wherever it is."""
        if token not in self._guests:
            self.outputs.append(Answer(token, index, value))
            return
        sender, own_token = self.dismiss(token)
        self.letters.append(Answered(self.node, sender, own_token, index, value))

    def turn_away(self, token: Token) -> None:
        """Tell a guest that this node does not lead, and that nothing was done."""
        sender, own_token = self.dismiss(token)
        self.letters.append(NotLeading(self.node, sender, own_token))
