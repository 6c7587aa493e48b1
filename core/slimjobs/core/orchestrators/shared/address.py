"""Where a shared runner is: listening there, and connecting to it.

A Unix socket outlives its process as a file. Whether one that is found is alive, a connection tells: a dead one is
replaced. Who looks holds a lock on the folder meanwhile, so that two runners that start at once do not both take it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from slimjobs.core.configuration.setting_kinds import LoopbackAddress, RunnerAddress, UnixAddress

BACKLOG: Final = 128
_SOCKET_MODE: Final = 0o600
_FOLDER_LOCK_SECONDS: Final = 1.0


class AddressTaken(Exception):
    """The address cannot be listened on; the message is for the person who chose it."""


Listening = trio.SocketListener


def shown(address: RunnerAddress) -> str:
    """The address as it is written in the settings."""
    match address:
        case UnixAddress(path):
            return f"unix:{path}"
        case LoopbackAddress(host, port):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# Listening ----------------------------------------------------------------------------------------------------------


@contextmanager
def listening(address: RunnerAddress) -> Iterator[Listening]:
    """Listen there while the block runs; a Unix socket's file goes with it. Raises `AddressTaken`."""
    try:
        if isinstance(address, LoopbackAddress):
            with _listening_on_port(address) as listener:
                yield listener
        else:
            with _listening_on_file(address.path) as listener:
                yield listener
    except _Unusable as error:
        raise AddressTaken(f"SlimFaas__Runner: cannot listen on {shown(address)}: {error}") from error.__cause__


class _Unusable(Exception):
    pass


@contextmanager
def _listening_on_port(address: LoopbackAddress) -> Iterator[Listening]:
    with socket.socket(_family(address)) as raw:
        try:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            raw.bind((_ip(address), address.port))
            raw.listen(BACKLOG)
        except OSError as error:
            raise _Unusable(error.strerror or str(error)) from error
        yield trio.SocketListener(trio.socket.from_stdlib_socket(raw))


@contextmanager
def _listening_on_file(path: Path) -> Iterator[Listening]:
    with socket.socket(socket.AF_UNIX) as raw:
        try:
            _take_file(raw, path)
            mine = path.stat()
        except OSError as error:
            raise _Unusable(error.strerror or str(error)) from error
        try:
            yield trio.SocketListener(trio.socket.from_stdlib_socket(raw))
        finally:
            with suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), mine):
                    path.unlink()


def _take_file(raw: socket.socket, path: Path) -> None:
    with _folder_held(path.parent):
        _remove_dead(path)
        raw.bind(os.fspath(path))
        path.chmod(_SOCKET_MODE)
        # Connections are refused until here, so nobody came in while the mode was another.
        raw.listen(BACKLOG)


@contextmanager
def _folder_held(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _FOLDER_LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise _Unusable("somebody holds its folder") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _remove_dead(path: Path) -> None:
    """Remove the file if it is the socket of a runner that is no more."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise _Unusable("there is a file that is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        # Anything but a refusal means that somebody listens, if only with a full backlog.
        if probe.connect_ex(os.fspath(path)) != errno.ECONNREFUSED:
            raise _Unusable("a runner answers there already")
    path.unlink()


# Connecting ---------------------------------------------------------------------------------------------------------


def unconnected(address: RunnerAddress) -> socket.socket:
    """A socket for this address."""
    return socket.socket(_family(address))


async def connect(raw: socket.socket, address: RunnerAddress) -> trio.SocketStream:
    """Connect it. Raises OSError."""
    connecting = trio.socket.from_stdlib_socket(raw)
    match address:
        case UnixAddress(path):
            await connecting.connect(os.fspath(path))
        case LoopbackAddress(port=port):
            await connecting.connect((_ip(address), port))
    return trio.SocketStream(connecting)


def _family(address: RunnerAddress) -> socket.AddressFamily:
    if isinstance(address, UnixAddress):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in address.host else socket.AF_INET


def _ip(address: LoopbackAddress) -> str:
    # The name is not looked up: what executes programs never depends on what somebody's resolver makes of it.
    return "127.0.0.1" if address.host == "localhost" else address.host
