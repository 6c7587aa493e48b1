"""The ports to whatever runs jobs, and their implementations: a runner of processes, Kubernetes."""
