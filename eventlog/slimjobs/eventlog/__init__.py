"""What can happen, and the log that remembers it: the first of the five packages, on which all others stand.

`events/` is the vocabulary and its codec, `raft/` the consensus as a pure library, `storage/` the disk; the
replicated log is put together from them. It knows nothing of jobs beyond the events' names and imports nothing of
ours. Read `events/` first, then `raft/`, then `storage/`.
"""
