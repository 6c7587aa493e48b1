"""The API server of Kubernetes, asked by the few parts of the official client that do I/O.

Nobody else imports that client. So far it is asked one thing: the StatefulSet of this pod. It may not know the
supervisor, the log or a client.

In reading order: `lean.py` (the client without its models), `account.py` (as whom it is asked, and one request),
`stateful_sets.py` (a StatefulSet, asked for until there is an answer).
"""

from slimjobs.core.orchestrators.kubernetes.account import Account
from slimjobs.core.orchestrators.kubernetes.stateful_sets import Patience, Unanswered, find_stateful_set

__all__ = ["Account", "Patience", "Unanswered", "find_stateful_set"]
