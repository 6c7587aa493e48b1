"""The one rule for the names of jobs, wherever one comes in: requests, configuration, schedules, annotations."""

from __future__ import annotations

import re
from typing import Final

MAX_JOB_NAME: Final = 30  # with `-slimfaas-job-` and the id it still fits the 63 characters of a Kubernetes Job's name

JOB_NAME_RULE: Final = (
    f"a job's name has 3 to {MAX_JOB_NAME} characters of a-z, 0-9 and '-', and begins and ends with a letter or digit "
    "(upper case is taken as lower case)"
)

_JOB_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,28}[a-z0-9]")


def job_name(text: str) -> str | None:
    """The name that this text stands for: lower-cased, a DNS label (contract §2, Names); None if it can be none."""
    # Only ASCII may be folded: `str.lower` makes 'k' of the Kelvin sign, which would be a name by accident.
    name = text.lower() if text.isascii() else ""
    return name if _JOB_NAME.fullmatch(name) else None


def is_job_name(text: str) -> bool:
    """Whether this is a name as it stands, lower-cased already."""
    return _JOB_NAME.fullmatch(text) is not None
