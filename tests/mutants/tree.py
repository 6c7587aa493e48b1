"""A copy of the tree, in which a fault may stand while some of the tests run; the work tree is never touched."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tests.mutants.mutant import Mutant

HOUSE: Final = Path(__file__).parents[2]
ROOTS: Final = ("eventlog", "projections", "core", "http", "deploy")
COPIED: Final = (*ROOTS, "tests", "pyproject.toml")
LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", ".*", "mutants")

BOUND_SECONDS: Final = 120.0
"""No finder takes this long; one that does has met a fault that keeps it from ending."""
SEED_SECONDS: Final = 20.0

PASSED, FAILED = 0, 1
FAILED_TEST: Final = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)
FAILED_SEED: Final = re.compile(r'"failed":\["[^"]*--first (\d+)')

OPTIONS: Final = ("-x", "-q", "--no-header", "--tb=no", "-rfE", "-p", "no:cacheprovider", "--hypothesis-seed=0")


class Run(NamedTuple):
    """What came of some tests. `failed` is the first that did, empty for none; `broken` says why they did not run."""

    failed: str
    seconds: float
    broken: str = ""


class Tree:
    """One copy. One process runs in it at a time; `stop` ends it, and every later one before it begins."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: subprocess.Popen[str] | None = None
        self._is_stopped = False
        for name in COPIED:
            source, copy = HOUSE / name, folder / name
            if source.is_dir():
                shutil.copytree(source, copy, ignore=LEFT_OUT)
            else:
                shutil.copy2(source, copy)

    @contextmanager
    def faulty(self, mutant: Mutant) -> Iterator[None]:
        """Have this fault in the tree meanwhile; `Misplaced` if it has no place there."""
        path = mutant.path(self._folder)
        sound = path.read_text(encoding="utf-8")
        _write(path, mutant.applied(sound))
        try:
            yield
        finally:
            _write(path, sound)

    def run(self, finders: Sequence[str]) -> Run:
        """Run these tests until the first one fails, or their time is over."""
        arguments = [str(Path("tests", finder)) for finder in finders]
        return self._run(["pytest", *OPTIONS, *arguments], BOUND_SECONDS * len(finders), arguments[0])

    def simulate(self, seeds: int) -> Run:
        """Run so many seeds of the simulator until the first one fails, or their time is over."""
        arguments = ["--seeds", str(seeds), "--processes", "1", "--minimise-seconds", "0", "--json"]
        return self._run(["tests.simulation.run", *arguments], BOUND_SECONDS + SEED_SECONDS * seeds, "a seed")

    def _run(self, module: Sequence[str], bound_seconds: float, what: str) -> Run:
        paths = [str(self._folder), *(str(self._folder / root) for root in ROOTS)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"}
        began = time.monotonic()
        if self._is_stopped:
            return Run("", 0.0, "stopped")
        with subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=self._folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as self._running:
            try:
                told = self._running.communicate(timeout=bound_seconds)[0]
            except subprocess.TimeoutExpired:
                return Run(f"{what} (no end)", time.monotonic() - began)
            finally:
                self._kill()
        return _judged(self._running.returncode, told, time.monotonic() - began)

    def stop(self) -> None:
        """End what runs, and let nothing begin."""
        self._is_stopped = True
        self._kill()

    def _kill(self) -> None:
        """End the process and all that it started and left behind: they are a group of their own."""
        if self._running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._running.pid, signal.SIGKILL)


def _judged(code: int, told: str, seconds: float) -> Run:
    if code == PASSED:
        return Run("", seconds)
    if code == FAILED and (test := FAILED_TEST.search(told)) is not None:
        return Run(test[1], seconds)
    if code == FAILED and (seed := FAILED_SEED.search(told)) is not None:
        return Run(f"seed {seed[1]}", seconds)
    return Run("", seconds, f"ended with {code}: {told.strip()[-600:]}")


# A compiled file is told from its source by second and size only, which a fault may leave as they were.
def _write(path: Path, source: str) -> None:
    path.write_text(source, encoding="utf-8")
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
