"""The disk: what a node must know again after a crash, made durable before anything that depends on it leaves.

It knows entries, terms and votes, never what a payload means; it opens no socket and reads the disk only through the
port in `files`, so that a simulated disk can take its place. Nothing is imported here: `requests` and `batch` are for
the pure machine too, which may not load the rest.

Read in this order: `requests` (what is asked and answered), `errors`, `files` (the port), `batch` (how entries lie on
disk), `segments` (which files hold which entries), `writer` (appending to them), `slots`, `identity`, `snapshots`,
`fetching` (those of other nodes), `recovery` (what a crash can leave and what becomes of it), `start`, `retention`,
`directory`, `store` (all of it, synchronous), `coalesce` and `work` (what is done for a node while it runs), `disk`
(the thread that does it), `log_reader` (reading beside one).
"""
