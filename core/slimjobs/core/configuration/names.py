"""Names of jobs and of what they depend on, as Kubernetes can hold them."""

from __future__ import annotations

import re
from typing import Final

DEFAULT: Final = "default"
"""The definition that names without one fall back to; the configuration writes it `Default`, in any case."""

JOB_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
LEAST: Final = 3
MOST: Final = 30  # `NAME-slimfaas-job-ID` must stay within the 63 characters of a Kubernetes Job

DEPENDENCY_NAME: Final = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"


def job_name_complaint(name: str) -> str | None:
    """Why this (already lower-cased) text cannot name a job; None if it can (contract §2, Names)."""
    if LEAST <= len(name) <= MOST and JOB_NAME.fullmatch(name):
        return None
    return f"a job's name takes {LEAST} to {MOST} of a-z, 0-9 and '-', with a letter or digit at both ends"


def dependency_name_complaint(name: str) -> str | None:
    """Why this text cannot name a Deployment, StatefulSet or service; None if it can."""
    return None if re.fullmatch(DEPENDENCY_NAME, name) else "no Deployment or StatefulSet can have this name"
