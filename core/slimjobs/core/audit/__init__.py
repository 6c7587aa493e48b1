"""Audits: what should have happened, computed anew, beside what the log says. Pure, and asks nobody but the log."""
