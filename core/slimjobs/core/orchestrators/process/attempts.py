"""The node's side of the guard: starts it, asks it for a keeper for each attempt, and hears how the attempt ends.

Stands between the runner and `guard.py`, whose docstring draws the processes and who may outlive whom.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog
import trio

from slimjobs.core.orchestrators.process import guard
from slimjobs.core.orchestrators.process.states import KEEPER_LOST, Exit

_log = structlog.get_logger(__name__)

_GUARD_ENDS_SECONDS: Final = 2.0
# Imported, not run as a file: its compiled form is used where there is one, which saves 1 MiB.
_GUARD_PROGRAM: Final = f"""
import sys
sys.path.append({os.fspath(Path(guard.__file__).parent)!r})
import guard
guard.main(*map(int, sys.argv[1:]))
"""


class Guard:
    """The guard process of this node, started again when somebody killed it: attempts that run do not need it."""

    def __init__(self, lock_fd: int | None) -> None:
        self._lock_fd = lock_fd
        self._starting = trio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: trio.socket.SocketType | None = None

    @property
    def pid(self) -> int | None:
        """The guard that was started last."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it if it does not run. OSError if it cannot be started."""
        async with self._starting:
            if self._process is None or self._process.poll() is not None:
                await self._start()

    async def keeper(self) -> socket.socket:
        """The channel to a new keeper. OSError if there is no guard to make one."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                await self._send(theirs.fileno())
            except BaseException:
                ours.close()
                raise
        return ours

    async def close(self) -> None:
        """Let it end, which it does when every keeper has; it is given up on after 2 s."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            await trio.to_thread.run_sync(self._wait, self._process)

    async def _send(self, fd: int) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fd.to_bytes(4, sys.byteorder))]
        for _ in range(2):
            await self.start()
            assert self._control is not None
            assert self._process is not None
            process = self._process
            try:
                await self._control.sendmsg([b"F"], rights)
                return
            except (BrokenPipeError, ConnectionResetError, trio.ClosedResourceError):
                # It was killed, and may not even be a zombie yet; or another attempt saw that first.
                await trio.to_thread.run_sync(self._wait, process)
        raise BrokenPipeError("the guard was killed twice")

    async def _start(self) -> None:
        if self._control is not None:
            _log.warning("guard lost", pid=self.pid)
            self._control.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            fds = [theirs.fileno(), *([] if self._lock_fd is None else [self._lock_fd])]
            self._process = await trio.to_thread.run_sync(_start_guard, fds)
        self._control = trio.socket.from_stdlib_socket(ours)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(_GUARD_ENDS_SECONDS)
        except subprocess.TimeoutExpired:
            _log.warning("guard has not ended: something of a job cannot be killed", pid=process.pid)


class Attempt:
    """One attempt of a run, from its request to its end."""

    def __init__(
        self, number: int, output: Path, limit: int, command: tuple[str, ...], environment: Mapping[str, str]
    ) -> None:
        self.number = number
        self._request = _request(output, limit, command, environment)
        self._channel: socket.socket | None = None
        self._commands = b""  # given before the request was out; inside it they would be taken for its bytes
        self._asked = False
        self._growth = trio.Event()
        self.ended = False

    async def run(self, guard_process: Guard) -> Exit:
        """Start the process and wait for its end, when nothing of it is left. Cancelled, it is killed by its keeper."""
        try:
            channel = await guard_process.keeper()
        except OSError as error:
            _log.error("no guard", error=str(error))
            self._end()
            return KEEPER_LOST
        try:
            return await self._hear(channel)
        finally:
            self._channel = None
            channel.close()
            self._end()

    def terminate(self) -> None:
        """SIGTERM to its process group, if it runs."""
        self._tell(guard.TERMINATE)

    def kill(self) -> None:
        """SIGKILL to all of it."""
        self._tell(guard.KILL)

    async def grown(self) -> None:
        """Wait until there may be more output than when this was called, or the attempt has ended."""
        if self.ended:
            return
        growth = self._growth
        if not self._asked:
            self._asked = True
            self._tell(guard.TELL_OUTPUT)
        await growth.wait()

    async def _hear(self, channel: socket.socket) -> Exit:
        stream = trio.socket.from_stdlib_socket(channel)
        received = b""
        # A keeper that is killed may reset its channel rather than end it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await _send_all(stream, self._request)
            self._channel = channel
            self._tell(self._commands)
            while piece := await stream.recv(4096):
                *lines, received = (received + piece).split(b"\n")
                for line in lines:
                    if exit := self._heard(line.decode().split()):
                        return exit
        return KEEPER_LOST

    def _heard(self, words: list[str]) -> Exit | None:
        match words:
            case ["output"]:
                self._asked = False
                self._growth.set()
                self._growth = trio.Event()
            case ["unstarted", code]:
                return Exit(int(code), "StartError")
            case ["ended", code]:
                return Exit(int(code), "Error" if int(code) else "Completed")
        return None

    def _end(self) -> None:
        self.ended = True
        self._growth.set()

    def _tell(self, commands: bytes) -> None:
        if self._channel is None:
            self._commands += commands
        else:
            # Commands are single bytes on an empty socket: they never wait. Nobody there: its end was on its way.
            with contextlib.suppress(OSError):
                self._channel.send(commands)


def _start_guard(fds: list[int]) -> subprocess.Popen[bytes]:
    # Isolated and without site, it starts whatever has become of the environment that the node runs in.
    command = [sys.executable, "-I", "-S", "-X", "no_debug_ranges", "-c", _GUARD_PROGRAM, *map(str, fds)]
    return subprocess.Popen(
        command, pass_fds=fds, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


def _request(output: Path, limit: int, command: tuple[str, ...], environment: Mapping[str, str]) -> bytes:
    variables = [f"{name}={value}" for name, value in environment.items()]
    fields = [os.fspath(output.absolute()), str(limit), str(len(command)), *command, *variables]
    body = b"\0".join(os.fsencode(field) for field in fields)
    return len(body).to_bytes(4, "big") + body


async def _send_all(channel: trio.socket.SocketType, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[await channel.send(rest) :]
