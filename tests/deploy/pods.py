"""Nodes that believe they are in a pod: by its name, the variables, and a service account's files of the test's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.deploy.nodes import Node, configuration

# `slimjobs serve`, with the one thing that the command line cannot be told.
SERVE: Final = """
import sys
from pathlib import Path
from slimjobs.deploy.cli import settings_of
from slimjobs.deploy.exits import Ended
from slimjobs.deploy.serve import serve_until_stopped
try:
    serve_until_stopped(settings_of({}), Path(sys.argv[1]))
except Ended as ended:
    sys.stderr.write(f"{ended}\\n")
    sys.exit(ended.code)
"""


@contextmanager
def pod(
    name: str, directory: Path, service_account: Path, environment: Mapping[str, str], **settings: str
) -> Iterator[Node]:
    """A node in a pod of this name. However the block ends, so does the node."""
    given = {"SlimData__Name": name, "SlimData__Directory": str(directory)}
    given["SlimFaas__JobsConfiguration"] = configuration({"echo": {"Command": ["/bin/echo"]}})
    program = (sys.executable, "-c", SERVE, str(service_account))
    started = Node({**given, **environment, **settings}, program=program)
    try:
        yield started
    finally:
        started.kill()
