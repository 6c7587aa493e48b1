"""Faults of the disk: what is said before it is durable, what is believed unseen, what a start makes of a crash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.mutants.mutant import Mutant

MUTANTS: Final[Sequence[Mutant]] = (
    Mutant(
        "persisted-is-told-before-the-sync",
        "eventlog/storage/work.py",
        "            self._storage.sync()",
        "            pass",
        ("eventlog/storage/test_disk_thread.py::test_what_waits_is_one_sync_and_one_answer",),
    ),
    Mutant(
        "hard-state-is-written-to-one-slot-only",
        "eventlog/storage/slots.py",
        "self._slots.write(position, Slot(self._number, state.term, state.vote))",
        "self._slots.write(0, Slot(self._number, state.term, state.vote))",
        ("eventlog/storage/test_slots.py::test_an_acknowledged_vote_survives_the_loss_of_either_slot",),
    ),
    Mutant(
        "slot-is-believed-without-its-checksum",
        "eventlog/storage/slots.py",
        "if len(raw) < _SLOT.size or raw[:_CHECKSUM_BYTES] != self._checksum(raw[_CHECKSUM_BYTES:]):",
        "if len(raw) < _SLOT.size:",
        ("eventlog/storage/test_slots.py::test_both_slots_unreadable_is_damage",),
    ),
    Mutant(
        "slot-is-not-synced",
        "eventlog/storage/slots.py",
        "        self._files.sync(self._file)",
        "        pass",
        ("eventlog/storage/test_crashes.py::test_nothing_durable_is_lost_whenever_the_power_goes[0]",),
    ),
    Mutant(
        "hard-state-older-than-its-log-is-believed",
        "eventlog/storage/start.py",
        "if last is not None and last.term > state.term:",
        "if False and last is not None:",
        ("eventlog/storage/test_slots.py::test_a_hard_state_older_than_the_log_is_damage",),
    ),
    Mutant(
        "chain-of-batches-is-not-checked",
        "eventlog/storage/recovery.py",
        "if header.number != self.number + 1 or header.previous != self.checksum:",
        "if False:",
        ("eventlog/storage/test_recovery.py::test_a_batch_written_over_another_is_damage",),
    ),
    Mutant(
        "batch-is-believed-without-its-checksum",
        "eventlog/storage/segments.py",
        "if not batch.verified(view, self._key, header.checksum):",
        "if False:",
        ("eventlog/storage/test_recovery.py::test_a_torn_last_batch_is_cut_and_reported",),
    ),
    Mutant(
        "damage-is-cut-like-a-torn-tail",
        "eventlog/storage/recovery.py",
        "if proven <= self.chain.number:",
        "if True:",
        ("eventlog/storage/test_recovery.py::test_a_bad_batch_with_a_later_one_behind_it_is_damage",),
    ),
    Mutant(
        "what-a-failed-sync-left-is-believed",
        "eventlog/storage/recovery.py",
        "if scanned.chain.number > scanned.proven:",
        "if False:",
        ("eventlog/storage/test_crashes.py::test_nothing_durable_is_lost_whenever_the_power_goes[13]",),
    ),
    Mutant(
        "failed-sync-is-passed-over",
        "eventlog/storage/writer.py",
        "            self._files.sync(self._file)\n            self.synced",
        "            try:\n"
        "                self._files.sync(self._file)\n"
        "            except OSError:\n"
        "                pass\n"
        "            self.synced",
        ("eventlog/storage/test_disk_thread.py::test_a_failing_sync_is_told_once_and_everything_after_is_refused",),
    ),
    Mutant(
        "full-disk-acknowledges-what-it-did-not-take",
        "eventlog/storage/work.py",
        "        except NoRoom:\n            self._retry_at = self._clock() + RETRY_SECONDS",
        "        except NoRoom:\n            self._written = self._held[-1].ticket\n            self._held.clear()",
        (
            "eventlog/storage/test_disk_thread.py::test_what_finds_no_room_waits_while_reads_hard_states_and_snapshots_go_on",
        ),
    ),
    Mutant(
        "next-segment-is-begun-before-the-last-one-is-synced",
        "eventlog/storage/writer.py",
        "        self.sync()\n        if self._file is not None:",
        "        if self._file is not None:",
        ("eventlog/storage/test_crashes.py::test_nothing_durable_is_lost_whenever_the_power_goes[0]",),
    ),
    Mutant(
        "snapshot-is-published-ahead-of-its-log",
        "eventlog/storage/store.py",
        "if index > self.last_index:",
        "if False:",
        ("eventlog/storage/test_snapshots.py::test_one_that_is_ahead_of_the_log_is_refused",),
    ),
    Mutant(
        "snapshot-is-believed-without-its-checksums",
        "eventlog/storage/snapshots.py",
        "if len(block) < length or checksum != expected:",
        "if len(block) < length:",
        ("eventlog/storage/test_snapshots.py::test_a_flipped_byte_ends_the_reading_with_its_place",),
    ),
    Mutant(
        "snapshot-gets-its-name-before-it-is-synced",
        "eventlog/storage/snapshots.py",
        "        _sync(files, name)\n    except",
        "        pass\n    except",
        ("eventlog/storage/test_crashes.py::test_nothing_durable_is_lost_whenever_the_power_goes[0]",),
    ),
)
