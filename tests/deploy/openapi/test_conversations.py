"""A stranger that knows the node's OpenAPI document and nothing else: schemathesis makes requests of it, good and bad,
and judges every answer by it.

Half of the operations each on two processors, some seventy seconds, nearly all of which it takes to make the requests;
with `SLIMJOBS_SOAK=1` it is a hundred of each kind. What GET implies, HEAD and OPTIONS, has tests of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.deploy.nodes import environment, node

EXAMPLES: Final = 100 if os.environ.get("SLIMJOBS_SOAK") else 5
SECONDS: Final = 1800
CONFIGURATION: Final = Path(__file__).with_name("schemathesis.toml")
SCHEMATHESIS: Final = (sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()")

HALVES: Final = (("--include-path-regex", "^/job/"), ("--exclude-path-regex", "^/job/"))

ONE: Final = {"cpu": "1", "memory": "1"}
OPEN: Final = {
    "Image": "any/image",
    "ImagesWhitelist": ["*"],
    "Command": ["/bin/true"],
    "Resources": {"Requests": ONE, "Limits": ONE},
}


def test_every_request_that_the_document_allows_is_taken_and_every_answer_is_in_it(tmp_path: Path) -> None:
    with node(tmp_path / "data", {"fibonacci": OPEN, "Default": OPEN}) as running:
        conversations = [converse(running.url, half, tmp_path) for half in HALVES]
        try:
            told = [(each.communicate(timeout=SECONDS)[0], each.returncode) for each in conversations]
        finally:
            for each in conversations:
                each.kill()
                each.communicate()
        for output, code in told:
            assert code == 0, output
        assert running.stop() == 0


def converse(url: str, operations: Sequence[str], directory: Path) -> subprocess.Popen[str]:
    """A conversation about these operations, in a process of its own that leaves its notes in this directory."""
    words = [
        "--config-file",
        str(CONFIGURATION),
        "run",
        f"{url}/openapi.json",
        "--seed=1",
        f"--max-examples={EXAMPLES}",
        "--generation-database=none",
        "--exclude-method=HEAD",
        "--exclude-method=OPTIONS",
        "--continue-on-failure",
        "--no-color",
        *operations,
    ]
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [*SCHEMATHESIS, *words],
        cwd=directory,
        env=environment(paths),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
