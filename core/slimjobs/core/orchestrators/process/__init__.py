"""The process runner: an orchestrator that runs jobs as child processes and behaves as the Kubernetes API does.

It stands behind the port `Orchestrator`: an object has a name taken once and a uid given here, is created suspended and
released, listed, watched, expired and deleted. It may not know the supervisor, the log or a client.

In reading order: `states.py` (an object and what can happen to it: pure), `programs.py` (what of a job is executed),
`files.py` (objects on the disk), `store.py` (the objects there are, changed durably and watched through `watching.py`),
`guard.py` (the small process that starts attempts and lets none outlive the node), `attempts.py` (its peer here),
`strays.py` (what is left when even that failed), `outputs.py` (what attempts wrote), `pursuits.py` (what drives an
object to its end), `collector.py` (what removes it after its TTL), and `runner.py`, which puts them together.

Beside jobs it keeps services, for `declared.py`: `services.py` (a service and what can happen to it: pure),
`answering.py` (whether it can be used), `posts.py` (what keeps a process running), `upkeep.py` (all of them).
"""

from slimjobs.core.orchestrators.process.files import DamagedObject
from slimjobs.core.orchestrators.process.pursuits import RunnerSettings
from slimjobs.core.orchestrators.process.runner import ProcessRunner, open_runner

__all__ = ["DamagedObject", "ProcessRunner", "RunnerSettings", "open_runner"]
