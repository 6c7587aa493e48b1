"""The API server of Kubernetes, asked by the few parts of the official client that do I/O.

Nobody else imports that client. It may not know the supervisor, the log or a client of ours.

In reading order: `lean.py` (the client without its models), `access.py` (as whom it is asked), `line.py`, `rates.py`
and `api.py` (calls and streams), `watching.py` (a kind of object, listed and watched).

Jobs, without I/O: `objects.py` (what is read of Jobs and pods), `manifest.py` (what is created for a run),
`attempts.py` and `phases.py` (how they look through the port), `view.py` (what is there now), `outcomes.py` (what an
answer means). With it: `pumping.py`, `observing.py`, `outputs.py`, `jobs.py` (the port `Orchestrator`).

What is around: `cron_jobs.py` and `workloads.py` (without I/O), `surroundings.py` (the port `Surroundings`).

At the start of a node: `account.py` and `stateful_sets.py` (the StatefulSet of this pod, asked for until there is an
answer). The rest is imported, by its modules, only where there is a cluster: it would cost every node memory.
"""

from slimjobs.core.orchestrators.kubernetes.account import Account
from slimjobs.core.orchestrators.kubernetes.stateful_sets import Patience, Unanswered, find_stateful_set

__all__ = ["Account", "Patience", "Unanswered", "find_stateful_set"]
