"""The shared runner: a runner in a process of its own, for several nodes, so that jobs outlive their leader.

`server.py` puts any `declared.Runner` behind a Unix socket or a loopback port; `remote.py` is a `Runner` that asks it.
To the node it is what a Kubernetes API is: away at times, and back with a new list. It may not know what runs the jobs,
nor the supervisor or the log.

Whoever can connect can have programs executed as the runner's user. A Unix socket is for its own user alone (mode
0600); a loopback port is for everybody who has an account on the machine, so the socket is to be preferred.

In reading order: `words.py` (what both sides say), `address.py` (where), `connection.py` (how), `server.py`,
`doors.py` (what the server does for each kind of connection), `remote.py` with `calls.py` (effects) and `streams.py`
(observations, output and services).
"""

from slimjobs.core.orchestrators.shared.address import AddressTaken, Listening, listening, shown
from slimjobs.core.orchestrators.shared.remote import RemoteRunner, open_remote
from slimjobs.core.orchestrators.shared.server import serve_runner

__all__ = ["AddressTaken", "Listening", "RemoteRunner", "listening", "open_remote", "serve_runner", "shown"]
