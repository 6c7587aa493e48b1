"""A node as one machine without I/O: inputs and the time go in, outputs come out, and nothing else ever happens.

It holds consensus, state, decisions, plan and every timer, so that a simulation drives exactly what runs in
production.
"""
