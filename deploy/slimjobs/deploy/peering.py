"""A node's peers as the settings name them: where it listens for them, and what their letters are."""

from __future__ import annotations

import ipaddress
from typing import Final

import trio

from slimjobs.core.configuration.setting_kinds import Peer
from slimjobs.core.configuration.settings import Settings
from slimjobs.core.machine.letters import Forwarded, Letter, Withdrawn, decode_letter, encode_letter, malformed, may_ask
from slimjobs.core.node.program import Node
from slimjobs.eventlog.raft import NodeId
from slimjobs.eventlog.transport.greeting import Greeting
from slimjobs.eventlog.transport.sockets import PeerAddress, listen
from slimjobs.eventlog.transport.tls import TlsFiles
from slimjobs.eventlog.transport.transport import Transport

RAFT_PORT: Final = 3262


class Letters:
    """The machine's letters, as the transport carries them. `trusted`: certificates say who everybody is."""

    def __init__(self, trusted: bool) -> None:
        self._trusted = trusted

    def encode(self, letter: Letter) -> bytes:
        """As one MessagePack value."""
        return encode_letter(letter)

    def decode(self, body: bytes, sender: Greeting) -> Letter:
        """Back again. Raises `MsgspecError` if that is no letter, `ValueError` if the sender may not send it."""
        letter: Letter = decode_letter(body)
        if letter.sender != sender.node:
            raise ValueError(f"a letter of node {letter.sender:x}, sent by {sender.name} as node {sender.node:x}")
        if wrong := malformed(letter):
            raise ValueError(wrong)
        if sender.guest and not self._may_come_from_a_guest(letter):
            raise ValueError(f"guests may not send this {type(letter).__name__}")
        return letter

    def _may_come_from_a_guest(self, letter: Letter) -> bool:
        if isinstance(letter, Forwarded):
            return may_ask(letter.said, self._trusted)
        return isinstance(letter, Withdrawn)

    def to(self, letter: Letter) -> NodeId:
        """Its addressee."""
        return letter.to


def is_one_of_several(settings: Settings) -> bool:
    """Whether there are other nodes to talk to."""
    return len(settings.peers) > 1


async def listen_for_peers(settings: Settings) -> list[trio.SocketListener]:
    """Listeners for peers; none for a node alone. Raises `PortUnavailable`."""
    if not is_one_of_several(settings):
        return []
    own = own_entry(settings)
    port = settings.raft_port if settings.raft_port is not None else own.port if own.port else RAFT_PORT
    return await listen(own.host if _is_loopback(own.host) else None, port)


def own_entry(settings: Settings) -> Peer:
    """This node among its peers."""
    return next(peer for peer in settings.peers if peer.name == settings.node_name)


# Other machines reach this one by a name; whether an address is its own, it need not know.
def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def transport(node: Node, settings: Settings) -> Transport[Letter]:
    """The way between this node and its peers, both ways. Raises `TlsUnusable`."""
    peers = [PeerAddress(peer.name, peer.host, peer.port) for peer in settings.peers]
    tls = tls_files(settings)
    way = Transport(
        settings.node_name,
        peers,
        lambda: node.greeting,
        node.objection,
        Letters(trusted=tls is not None),
        node.deliver,
        tls,
    )
    node.post = way.send
    return way


def tls_files(settings: Settings) -> TlsFiles | None:
    """The three files of mutual TLS, if they are set; all or none are."""
    certificate, key, authority = settings.tls_certificate, settings.tls_key, settings.tls_authority
    if certificate is None or key is None or authority is None:
        return None
    return TlsFiles(certificate, key, authority)
