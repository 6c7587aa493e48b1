"""Pure folds of the log: the service's state, queue positions and occupancy, desired runs, and why a job waits.

Everything the service knows is in here and comes from records alone: no clock, no chance, no disk, no client of
anything.
"""
