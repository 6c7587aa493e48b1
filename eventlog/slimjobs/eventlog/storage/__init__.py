"""The log's disk: segments of checksummed batches, hard state, durable marker and snapshots.

Nothing is reported as persisted before fdatasync returned; a torn tail is told from damage. It knows bytes and
indexes, not events.
"""
