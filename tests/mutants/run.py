"""`make mutants`: each fault of the table in turn, and which test or seed notices it.

    python -m tests.mutants.run [--json] [--jobs 1|2] [--seeds N] [NAME ...]      all of them without a name

Prints `NAME: found by TEST in 3.2 s` or `NAME: survived`, and ends with 1 if one survived or a row is of no use. A
finder counts only if it passes where there is no fault; all are run so first. With `--seeds` the simulator alone looks,
which shows what it can find.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple

from tests.mutants.mutant import Misplaced, Mutant
from tests.mutants.table import MUTANTS
from tests.mutants.tree import Run, Tree

AT_ONCE: Final = 2
INTERRUPTED: Final = 130


class Verdict(NamedTuple):
    """What became of a fault: found by a test, or not; or why that cannot be said."""

    name: str
    found_by: str
    seconds: float
    trouble: str = ""

    def __str__(self) -> str:
        if self.trouble:
            return f"{self.name}: of no use: {self.trouble}"
        found = f"found by {self.found_by} in {self.seconds:.1f} s"
        return f"{self.name}: {found if self.found_by else 'survived'}"


def judged(mutant: Mutant, tree: Tree, seeds: int) -> Verdict:
    """Let its finders look for it, one after the other, until one has it."""
    seconds = 0.0
    try:
        with tree.faulty(mutant):
            for run in looks(mutant, tree, seeds):
                seconds += run.seconds
                if run.failed or run.broken:
                    return Verdict(mutant.name, run.failed, seconds, run.broken)
    except Misplaced as error:
        return Verdict(mutant.name, "", 0.0, str(error))
    return Verdict(mutant.name, "", seconds)


def looks(mutant: Mutant, tree: Tree, seeds: int) -> Iterator[Run]:
    """Its finders, or so many seeds."""
    if seeds:
        yield tree.simulate(seeds)
    else:
        yield from (tree.run([finder]) for finder in mutant.finders)


def unharmed(mutants: Sequence[Mutant], tree: Tree, seeds: int) -> Run:
    """Let everything that looks do so where there is no fault."""
    if seeds:
        return tree.simulate(seeds)
    return tree.run(sorted({finder for mutant in mutants for finder in mutant.finders}))


def verdicts(mutants: Sequence[Mutant], trees: Sequence[Tree], seeds: int) -> Iterator[Verdict]:
    """As they come, at most one from each tree at a time."""
    free: SimpleQueue[Tree] = SimpleQueue()
    for tree in trees:
        free.put(tree)

    def judge(mutant: Mutant) -> Verdict:
        tree = free.get()
        try:
            return judged(mutant, tree, seeds)
        finally:
            free.put(tree)

    with ThreadPoolExecutor(len(trees)) as pool:
        waiting = [pool.submit(judge, mutant) for mutant in mutants]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BaseException:  # what is under way must not be waited for: the pool would
            pool.shutdown(wait=False, cancel_futures=True)
            for tree in trees:
                tree.stop()
            raise


def chosen(names: Sequence[str]) -> Sequence[Mutant]:
    """The rows of these names; all of them without one."""
    known = {mutant.name: mutant for mutant in MUTANTS}
    if unknown := sorted(set(names) - known.keys()):
        raise SystemExit(f"no fault is called {', '.join(map(repr, unknown))}; see tests/mutants")
    return [known[name] for name in names] or MUTANTS


def progress(said: str) -> None:
    sys.stderr.write(f"{said}\n")
    sys.stderr.flush()


def tell(mutants: Sequence[Mutant], trees: Sequence[Tree], seeds: int, *, as_json: bool) -> bool:
    """Judge these and print what came of them; whether each was found."""
    progress(f"what looks for {len(mutants)} faults, where there is none ...")
    sound = unharmed(mutants, trees[0], seeds)
    if sound.failed or sound.broken:
        progress(f"{sound.failed or sound.broken} does not pass without any fault: it can find none")
        return False
    told: list[Verdict] = []
    for verdict in verdicts(mutants, trees, seeds):
        told.append(verdict)
        if not as_json:
            sys.stdout.write(f"{verdict}\n")
            sys.stdout.flush()
        progress(f"{len(told)} of {len(mutants)}")
    if as_json:
        sys.stdout.write(json.dumps([verdict._asdict() for verdict in told], indent=2) + "\n")
    return all(verdict.found_by for verdict in told)


def main(arguments: Sequence[str]) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="tests.mutants.run", description="Which test notices which deliberate fault.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults to try; all without one")
    parser.add_argument("--json", action="store_true", help="print one document at the end")
    parser.add_argument("--jobs", type=int, default=AT_ONCE, choices=range(1, AT_ONCE + 1), help="how many at once")
    parser.add_argument("--seeds", type=int, default=0, help="let so many seeds of the simulator look, and no tests")
    asked = parser.parse_args(arguments)
    mutants = chosen(asked.names)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end by whomever, it leaves nothing behind
    began = time.monotonic()
    with ExitStack() as folders:
        trees = [
            Tree(
                Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True)))
            )
            for _ in range(min(asked.jobs, len(mutants)))
        ]
        try:
            all_found = tell(mutants, trees, asked.seeds, as_json=asked.json)
        except KeyboardInterrupt:
            progress("interrupted")
            return INTERRUPTED
        finally:
            for tree in trees:
                tree.stop()
    progress(f"{time.monotonic() - began:.0f} s")
    return 0 if all_found else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
