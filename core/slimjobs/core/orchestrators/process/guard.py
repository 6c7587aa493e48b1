"""The guard: a small process beside the node that starts what the node asks for, and lets none of it outlive the node.

Stands below `attempts.py`, which starts it and is its only peer. It is one file and needs nothing but the standard
library, and little of that, so that it starts without our packages and stays small: `_socket` instead of `socket` saves
1 MiB.

    node --- control ---> guard            one byte and one descriptor: "fork a keeper for this channel"
    node <-- channel ---> keeper           one each attempt: the request, then commands; reports as lines of text
                            +-- process    a session of its own, its output a pipe to the keeper
                                  +-- ...  whatever it starts, and wherever that hides: the keeper is its subreaper

What lives is bound to what must outlive it by descriptors, never by good behaviour:

- The node dies, by SIGKILL too: every channel ends, and each keeper kills all below it. Guard and keepers hold the
  lock of the node's directory (an inherited descriptor) until nothing is left.
- The guard dies: keepers do not need it; attempts go on, and the node starts another guard for what comes.
- A keeper dies: the kernel kills its process (a parent-death signal is right here: a keeper has one thread), and the
  guard adopts and kills what that one had started. The node sees the channel end.

The output is kept by the keeper, not by the node: a process that floods it costs the node nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import os
import select
import signal
import sys
import time
from _socket import CMSG_LEN, socket
from collections.abc import Iterator

TERMINATE = b"T"
KILL = b"K"
TELL_OUTPUT = b"?"
"""Commands to a keeper: SIGTERM to the process group; SIGKILL to all; say once when there is output since last said."""

NOT_FOUND = 127
NOT_STARTED = 126
"""Exit codes of what could not be started, as a shell gives them."""

OUTPUT_HEADER_BYTES = 32
"""The output's file: four numbers of 8 bytes (head size, ring size, reserved, written), the head, the ring.

The first `head size` bytes of the output stay; what follows goes round in the ring. `written` counts all the bytes
there ever were; `reserved` is ahead of it while they are being put down, so that a reader who compares it before and
after knows what was overwritten meanwhile.
"""

_READ_BYTES = 65536
# What floods beyond the head is read at no more than this pace (64 KiB a pause, some 60 MB/s): the pipe then slows the
# process that floods, and the time that it would have burnt stays with the node.
_FLOOD_PAUSE_SECONDS = 0.001

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_prctl = ctypes.CDLL(None).prctl

# Signals that are for the node when a terminal or an init system sends them to all: the guard ends when the node has.
_NOT_FOR_US = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What a started process must find as if nobody had touched it; Python ignores the last two.
_RESET = (*_NOT_FOR_US, signal.SIGPIPE, signal.SIGXFSZ)


# The guard ------------------------------------------------------------------------------------------------------------


def main(control_fd: int, lock_fd: int | None = None) -> None:
    """Fork keepers until the node is gone, then wait until everything else is."""
    for fd in (control_fd, lock_fd):
        if fd is not None:
            os.set_inheritable(fd, False)
    for signum in _NOT_FOR_US:
        signal.signal(signum, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    gc.collect()
    gc.freeze()  # pages that the collector never touches stay shared with the keepers
    keepers: set[int] = set()
    _serve(socket(fileno=control_fd), keepers)
    while _has_children():
        _kill(_children_of(os.getpid()) - keepers)
        os.waitpid(-1, 0)


def _serve(control: socket, keepers: set[int]) -> None:
    deaths = _wake_at_deaths()
    poll = select.poll()
    poll.register(control.fileno(), select.POLLIN)
    poll.register(deaths, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if deaths in ready:
            os.read(deaths, 4096)
            _bury(keepers)
        if control.fileno() in ready:
            message, ancillary, _, _ = control.recvmsg(1, CMSG_LEN(4))
            if not message:
                return
            # Out of descriptors, none arrives; the node then finds its channel closed.
            for _, _, rights in ancillary:
                channel = int.from_bytes(rights[:4], sys.byteorder)
                os.set_inheritable(channel, False)  # a job must not speak to the node in its keeper's name
                keepers |= _fork_keeper(channel, control, deaths)
                os.close(channel)


def _fork_keeper(channel: int, control: socket, deaths: int) -> set[int]:
    try:
        pid = os.fork()
    except OSError as error:
        _tell(channel, _not_started(error))
        return set()
    if pid:
        return {pid}
    try:
        # With the control socket open here, the node would not notice that the guard died.
        control.close()
        os.close(deaths)
        keep(channel)
    except OSError as error:
        sys.stderr.write(f"slimjobs: an attempt was lost: {error}\n")
    finally:
        os._exit(0)


def _bury(keepers: set[int]) -> None:
    """Reap; and kill what became ours because its keeper is gone."""
    for pid, _ in _reaped():
        keepers.discard(pid)
    if _has_children():
        _kill(_children_of(os.getpid()) - keepers)


# A keeper -------------------------------------------------------------------------------------------------------------


def keep(channel: int) -> None:
    """Run one attempt: read the request, start the process, keep its output, report its end, let nothing of it stay."""
    os.setsid()  # a signal to the guard's group must not take the keepers with it
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    deaths = _wake_at_deaths()
    request = _receive_request(channel)
    if request is None:
        return
    path, limit, argv, environment = request
    output = KeptOutput(path, limit)
    try:
        pid, pipe = _start(argv, environment)
    except OSError as error:
        output.write(b"slimjobs: cannot start %s: %s\n" % (argv[0], os.fsencode(error.strerror or repr(error))))
        _tell(channel, _not_started(error))
        return
    _tell(channel, b"started %d" % pid)
    status = Keeper(channel, pid, pipe, output).attend(deaths)
    if status is not None:
        code = os.waitstatus_to_exitcode(status)
        _tell(channel, b"ended %d" % (code if code >= 0 else 128 - code))


class Keeper:
    """What keeps one process: obeys the node, keeps the output, and ends with all that the process ever started."""

    def __init__(self, channel: int, pid: int, pipe: int, output: KeptOutput) -> None:
        self._channel = channel
        self._pid = pid
        self._pipe = pipe
        self._output = output
        self._asked = False

    def attend(self, deaths: int) -> int | None:
        """The process's wait status, once nothing of it is left; None if the node is gone (and nothing is left)."""
        poll = select.poll()
        for fd in (self._channel, self._pipe, deaths):
            poll.register(fd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._pipe in ready and not self._keep_some():
                poll.unregister(self._pipe)
            if self._channel in ready and not self._obey():
                _end_descendants()
                return None
            if self._asked and self._output.grown:
                self._asked = self._output.grown = False
                _tell(self._channel, b"output")
            if deaths in ready:
                os.read(deaths, 4096)
                status = dict(_reaped()).get(self._pid)
                if status is not None:
                    _end_descendants()
                    self._drain()
                    return status

    def _obey(self) -> bool:
        """Carry out what was asked; False if nobody is there to ask any more, which is the order to kill."""
        try:
            commands = os.read(self._channel, 256)
        except ConnectionResetError:
            commands = b""
        if not commands or KILL in commands:
            _kill_group(self._pid, signal.SIGKILL)
            _kill(_descendants())
        elif TERMINATE in commands:
            _kill_group(self._pid, signal.SIGTERM)
        self._asked = self._asked or TELL_OUTPUT in commands
        return bool(commands)

    def _keep_some(self) -> bool:
        """Take what waits in the pipe; False at its end."""
        try:
            chunk = os.read(self._pipe, _READ_BYTES)
        except BlockingIOError:
            return True
        self._output.write(chunk)
        if self._output.overflows and len(chunk) == _READ_BYTES:
            time.sleep(_FLOOD_PAUSE_SECONDS)
        return bool(chunk)

    def _drain(self) -> None:
        """Take what the dead left in the pipe; it is no more than a pipe holds, unless a stranger has its other end."""
        for _ in range(32):
            try:
                chunk = os.read(self._pipe, _READ_BYTES)
            except BlockingIOError:
                return
            if not chunk:
                return
            self._output.write(chunk)


def _receive_request(channel: int) -> tuple[bytes, int, list[bytes], dict[bytes, bytes]] | None:
    """The output's path, its limit, the command and its environment; None if the node is gone before it has asked."""
    body = _receive(channel, int.from_bytes(_receive(channel, 4), "big"))
    if not body:
        return None
    # NUL separates, since it is just what neither arguments, variables nor paths can hold.
    path, limit, count, *rest = body.split(b"\0")
    argv, variables = rest[: int(count)], rest[int(count) :]
    pairs = (variable.partition(b"=") for variable in variables)
    return path, int(limit), argv, {name: value for name, _, value in pairs}


def _receive(channel: int, size: int) -> bytes:
    """Exactly so many bytes, or none if the channel ends before."""
    received = bytearray()
    while len(received) < size:
        try:
            piece = os.read(channel, size - len(received))
        except ConnectionResetError:
            return b""
        if not piece:
            return b""
        received += piece
    return bytes(received)


def _start(argv: list[bytes], environment: dict[bytes, bytes]) -> tuple[int, int]:
    """Start the process: its pid, and the pipe that its output comes from. OSError if it cannot be executed."""
    pipe, output = os.pipe()
    failure, failed = os.pipe()  # a successful exec closes it without a word
    pid = os.fork()
    if pid == 0:
        _become(argv, environment, output, failed)
    os.close(output)
    os.close(failed)
    number = os.read(failure, 16)
    os.close(failure)
    if number:
        os.waitpid(pid, 0)
        raise OSError(int(number), os.strerror(int(number)))
    os.set_blocking(pipe, False)
    return pid, pipe


def _become(argv: list[bytes], environment: dict[bytes, bytes], output: int, failed: int) -> None:
    """In the forked child: become the program, or say why not and exit."""
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for signum in _RESET:
            signal.signal(signum, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        os.write(failed, b"%d" % (error.errno or errno.EIO))
    finally:
        os._exit(NOT_STARTED)


def _tell(channel: int, line: bytes) -> None:
    # If nobody hears it, the channel's end says so to whoever waits on it.
    with contextlib.suppress(OSError):
        os.write(channel, line + b"\n")


def _not_started(error: OSError) -> bytes:
    missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    return b"unstarted %d" % (NOT_FOUND if missing else NOT_STARTED)


class KeptOutput:
    """The file that keeps the first and the last half of at most `limit` bytes of output; `outputs.py` reads it."""

    def __init__(self, path: bytes, limit: int) -> None:
        self.grown = False
        self._written = 0
        self._head_bytes = limit // 2
        self._ring_bytes = limit - self._head_bytes
        # On a full disk the job goes on without its output.
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._put(0, self._head_bytes, self._ring_bytes, 0, 0)
        except OSError:
            self._fd = -1

    @property
    def overflows(self) -> bool:
        return self._written > self._head_bytes + self._ring_bytes

    def write(self, chunk: bytes) -> None:
        """Append; what the disk refuses is lost and not counted."""
        if not chunk or self._fd < 0:
            return
        reserved = self._written + len(chunk)
        with contextlib.suppress(OSError):
            if reserved > self._head_bytes + self._ring_bytes:
                self._put(16, reserved)
            self._put_down(chunk)
            self._put(16, reserved, reserved)
            self._written = reserved
            self.grown = True

    def _put(self, offset: int, *numbers: int) -> None:
        os.pwrite(self._fd, b"".join(number.to_bytes(8, "big") for number in numbers), offset)

    def _put_down(self, chunk: bytes) -> None:
        position, rest = self._written, memoryview(chunk)
        while rest:
            if position < self._head_bytes:
                place, room = position, self._head_bytes - position
            else:
                turn = (position - self._head_bytes) % self._ring_bytes
                place, room = self._head_bytes + turn, self._ring_bytes - turn
            put = os.pwrite(self._fd, rest[:room], OUTPUT_HEADER_BYTES + place)
            position, rest = position + put, rest[put:]


# Processes ------------------------------------------------------------------------------------------------------------


def _wake_at_deaths() -> int:
    """A descriptor that becomes readable when a child of this process has ended."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda signum, frame: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _reaped() -> Iterator[tuple[int, int]]:
    """The children that have ended, with their status, each reaped."""
    while _has_children():
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        yield pid, status


def _end_descendants() -> None:
    """Kill whatever is below this process, at any depth, until nothing is: orphans become its own children."""
    while _has_children():
        _kill(_descendants())
        os.waitpid(-1, 0)


def _descendants() -> set[int]:
    found: set[int] = set()
    parents = _parents()
    wave = {os.getpid()}
    while wave := {pid for pid, parent in parents.items() if parent in wave}:
        found |= wave
    return found


def _children_of(pid: int) -> set[int]:
    return {child for child, parent in _parents().items() if parent == pid}


def _parents() -> dict[int, int]:
    parents = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        # A process may end while one looks.
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
            parents[int(name)] = int(stat.read().rpartition(b")")[2].split()[1])
    return parents


def _kill(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _kill_group(pid: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signum)
