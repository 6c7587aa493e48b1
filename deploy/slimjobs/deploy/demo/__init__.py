"""`slimjobs demo`: three nodes and a runner as processes of their own, shown in a minute; their leader is killed in it.

What it shows it also checks: that no run is lost, fails or runs twice. Nothing here is part of the service, and the
nodes are ordinary ones; only their settings are made here.

Read `program` (the whole of it), `place` (directories, ports, settings), `children` and `leash` (processes, and how
they end with this one), `show` (the acts), `asking` and `runs` (what is seen of the runs), `verdict` (what must hold).
"""
