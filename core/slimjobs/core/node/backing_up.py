"""A node's backups of schedules: what is there when it starts, and then a look at each interval (specification §5.1).

    start: what the log has is backed up at once
    ready: a backup that the founding waits for is brought, if this node has it
    then:  each interval, what changed is backed up

Every node does so in its own folder, from what is committed there.
"""

from __future__ import annotations

from typing import Final

import structlog
import trio

from slimjobs.core.backups.document import Head, UnusableBackup, head_of, read
from slimjobs.core.backups.folder import BackupFolder
from slimjobs.core.decide.commands import RestoreBackup, Restored
from slimjobs.core.machine.queries import ShowBackup
from slimjobs.core.node.program import Node
from slimjobs.eventlog.events.schedules import BackupExpected
from slimjobs.eventlog.transport.greeting import NO_BACKUP
from slimjobs.projections.backups import BackupView

AGAIN_SECONDS: Final = 1.0
"""How soon a backup that is waited for is brought again; another node may not have been asked yet."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs.backup")


def mark_in(folder: BackupFolder | None) -> tuple[int, int]:
    """The time and index of the backup that this node could bring into a new cluster; a damaged one is told."""
    if folder is None:
        return NO_BACKUP
    try:
        found = folder.found()
    except UnusableBackup as error:
        _log.warning("a backup cannot be used; it is kept", file=str(folder.file), cause=str(error))
        return NO_BACKUP
    return NO_BACKUP if found is None or not found.schedules else found.mark


async def back_up_forever(node: Node, folder: BackupFolder, name: str, interval_seconds: float) -> None:
    """Keep the backups of the node of this name, until cancelled. What goes wrong is told once, and tried again."""
    backups = _Backups(node, folder, name)
    await backups.look()
    await node.until_ready()
    while True:
        awaited = await backups.look()
        await trio.sleep(min(AGAIN_SECONDS, interval_seconds) if awaited else interval_seconds)


class _Backups:
    def __init__(self, node: Node, folder: BackupFolder, name: str) -> None:
        self._node = node
        self._folder = folder
        self._name = name
        self._problem = ""

    async def look(self) -> bool:
        """Back up what the log has, or bring what it waits for; whether it still waits."""
        reply = await self._node.query(ShowBackup(), stale=True)
        view = reply.value
        if not isinstance(view, BackupView) or not view.backup.cluster:
            return False
        if view.expected is not None:
            self._tell(await self._bring(view.expected) if view.expected.node == self._name else "")
            return True
        self._tell(await trio.to_thread.run_sync(self._keep, view))
        return False

    def _keep(self, view: BackupView) -> str:
        return self._folder.keep(head_of(view.backup), view.restored)

    async def _bring(self, expected: BackupExpected) -> str:
        """Bring the backup that the log waits for; what is wrong with it, or nothing."""
        try:
            head = await trio.to_thread.run_sync(self._folder.found)
            if head is None or head.mark != (expected.at, expected.index):
                raise UnusableBackup("it is not the one that was there when this node started")
            backup = await trio.to_thread.run_sync(read, head)
        except UnusableBackup as error:
            return f"{self._folder.file} is not restored: {error}. `slimjobs restore` takes another."
        reply = await self._node.command(RestoreBackup(backup, expected))
        if isinstance(reply.value, Restored) and reply.value.schedules:
            _log.info("schedules are restored", schedules=reply.value.schedules, cluster=_was(head))
        return ""

    def _tell(self, problem: str) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        self._node.backup_told(problem)
        if problem:
            _log.warning("backups of schedules need attention", cause=problem)


def _was(head: Head) -> str:
    return f"{head.cluster} at index {head.index}"
