"""Backups of the schedules that callers made (specification §5.1): the document, and the folder that keeps it."""
