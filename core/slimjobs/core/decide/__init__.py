"""Decisions, one module per subject: a command and the state give a record or a refusal with its reason.

Pure: ids and instants come with the command, so the same question has the same answer wherever it is asked.
"""
