"""The one binary that all foreign parts are: compiled from go/, once, and then kept by the content of its sources.

    python -m tests.cluster.binary      compile it unless it is there (6 minutes on 2 cores), print where it is

The compiler is the one of the lock. It fetches the modules of go.sum, which holds their hashes, the way this machine's
Go is set up to, and needs no C compiler.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).parent / "go"
KUBERNETES: Final = "1.37.2"  # as in go.mod; the API server tells it to its clients


def built() -> Path:
    """The binary, compiled if these sources never were. Two that compile at once do not disturb each other."""
    binary = kept_at(SOURCES)
    if not binary.exists():
        sys.stderr.write(f"compiling {binary}: once, some minutes\n")
        _place(binary, _compile)
    return binary


def kept_at(sources: Path) -> Path:
    """Where the binary of these sources is kept, whether it is there or not."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256()
    for file in sorted(sources.iterdir()):
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return cache / "slimjobs-test-cluster" / digest.hexdigest()[:16]


def _place(binary: Path, compile_to: Callable[[Path], None]) -> None:
    binary.parent.mkdir(parents=True, exist_ok=True)
    partial = binary.with_suffix(f".{os.getpid()}")
    try:
        compile_to(partial)
        partial.rename(binary)
    finally:
        partial.unlink(missing_ok=True)


def _compile(target: Path) -> None:
    version = "k8s.io/component-base/version.git"
    major, minor, _ = KUBERNETES.split(".")
    stamps = {"Version": f"v{KUBERNETES}", "Major": major, "Minor": minor}
    flags = " ".join(["-s", "-w", *(f"-X {version}{name}={value}" for name, value in stamps.items())])
    settings = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false", "CGO_ENABLED": "0"}
    go = Path(sysconfig.get_path("purelib"), "go", "bin", "go")
    command = [str(go), "build", "-ldflags", flags, "-o", str(target), "."]
    subprocess.run(command, cwd=SOURCES, env={**os.environ, **settings, "GOROOT": str(go.parent.parent)}, check=True)


if __name__ == "__main__":
    sys.stdout.write(f"{built()}\n")
