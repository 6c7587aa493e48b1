"""The documents say what is: whatever they name is there, and whatever they list is all there is.

Run as a program, this writes docs/settings.md anew.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import click
import pytest

from slimjobs.core.configuration import definitions, services
from slimjobs.core.configuration.jobs import read_configuration
from slimjobs.core.configuration.settings import SETTINGS
from slimjobs.core.orchestrators.process.states import STAGES
from slimjobs.deploy.cli import slimjobs
from slimjobs.deploy.exits import Exit
from slimjobs.projections.desired import Wanted
from slimjobs.projections.run_states import RUN_STATES

HOUSE: Final = Path(__file__).parent.parent
SETTINGS_PAGE: Final = HOUSE / "docs" / "settings.md"
PAGES: Final = sorted((*HOUSE.glob("*.md"), *HOUSE.glob("docs/**/*.md")))

BLOCK: Final = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
LINK: Final = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")
NAME: Final = re.compile(r"`(\w+)`")
ROUTE: Final = re.compile(r'@app\.(get|post|delete)\("([^"]+)"\)')
SHELL_OPERATORS: Final = frozenset({"&&", "||", "&", "|", ";"})
RESULT: Final = re.compile(r"^[\[{].*[\]}]$", re.M)

HEAD: Final = """\
# Settings

<!-- Written by tests/test_documents.py from core/slimjobs/core/configuration/settings.py. -->

Each is an environment variable, in any case, and a flag of `slimjobs serve`; a flag wins, and an empty value is an
absent one. A `SlimFaas__` or `SlimData__` variable that is not here is a warning with the nearest that is; a value that
cannot be read stops the start with one line that says what it takes.

"""


def read(path: str) -> str:
    return (HOUSE / path).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> Iterator[str]:
    """The texts of the fenced blocks of a page that are marked so."""
    return (block["text"] for block in BLOCK.finditer(read(page)) if block["language"] == language)


def commands(page: str) -> Iterator[list[str]]:
    """Every command that a page types at a prompt, as its words."""
    for text in blocks(page, "console"):
        for line in re.findall(r"^\$ (.*)$", text, re.M):
            split = shlex.shlex(line, posix=True, punctuation_chars=True)
            split.whitespace_split = True  # words go on to the next blank or operator, whatever is in them
            yield from _split_at_operators(split)


def _split_at_operators(words: Iterable[str]) -> Iterator[list[str]]:
    for is_operator, group in itertools.groupby(words, lambda word: word in SHELL_OPERATORS):
        if not is_operator:
            yield list(group)


def table(page: str, *header: str) -> list[list[str]]:
    """The rows of the table with this header; code marks are left out."""
    lines = iter(read(page).splitlines())
    assert f"| {' | '.join(header)} |" in lines, header
    assert set(next(lines)) == {"|", "-"}
    rows = []
    while (line := next(lines, "")).startswith("|"):
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split(" | ")])
    return rows


def settings_page() -> str:
    lines = [HEAD, "| variable | flag | takes | default | meaning |", "|---|---|---|---|---|"]
    for each in SETTINGS:
        cells = (f"`{each.key}`", f"`{each.flag}`", each.kind.takes, each.default_text, each.meaning)
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join([*lines, ""])


def _is_heeded(field: str) -> bool:
    table_itself = HOUSE / "core/slimjobs/core/configuration/settings.py"
    sources = [path for root in ("core", "http", "deploy") for path in (HOUSE / root).rglob("*.py")]
    use = re.compile(rf"\bsettings\.{field}\b")
    return any(use.search(path.read_text(encoding="utf-8")) for path in sources if path != table_itself)


# Links and names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOUSE)))
def test_every_link_leads_to_a_file_and_to_the_name_that_it_shows(page: Path) -> None:
    broken = []
    for link in LINK.finditer(page.read_text(encoding="utf-8")):
        target = page.parent / link["target"]
        name = NAME.fullmatch(link["text"])
        if not target.exists() or (name is not None and not _defines(target, name[1])):
            broken.append(link[0])
    assert broken == []


def _defines(source: Path, name: str) -> bool:
    pattern = rf"^ *(?:async def|def|class) {name}\b|^{name}\b.*="
    return re.search(pattern, source.read_text(encoding="utf-8"), re.M) is not None


def test_every_decision_is_in_the_index() -> None:
    pages = {path.name for path in (HOUSE / "docs/decisions").glob("0*.md")}
    assert {link["target"] for link in LINK.finditer(read("docs/decisions/README.md"))} == pages


@pytest.mark.parametrize("page", sorted((HOUSE / "docs/decisions").glob("0*.md")), ids=lambda page: page.stem)
def test_a_decision_says_what_why_what_was_measured_and_what_would_change_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.name[:4]} ")
    assert [text.count(f"**{part}.**") for part in ("What", "Why", "Measured", "What would change it")] == [1, 1, 1, 1]


# What is typed and what is read -------------------------------------------------------------------------------------


def test_every_command_of_the_readme_is_one() -> None:
    typed = [words for words in commands("README.md") if words[0] in ("slimjobs", "make")]
    assert {words[0] for words in typed} == {"slimjobs", "make"}
    targets = set(re.findall(r"^(\w+):", read("Makefile"), re.M))
    for program, *arguments in typed:
        if program == "slimjobs":
            _parse(slimjobs, arguments)
        else:
            assert set(arguments) <= targets, arguments


def _parse(group: click.Group, arguments: list[str]) -> None:
    """Let click read the arguments without running anything. Raises what click would tell the person."""
    with click.Context(group) as context:
        name, command, rest = group.resolve_command(context, arguments)
    assert name is not None
    assert command is not None
    if isinstance(command, click.Group):
        _parse(command, rest)
    else:
        command.make_context(name, rest)


def test_the_readmes_configurations_are_such_and_its_answers_are_json() -> None:
    readings = [read_configuration(text) for text in blocks("README.md", "jsonc")]
    assert len(readings) == 2
    for reading in readings:
        assert reading.configuration is not None, reading.problems
    results = [found for text in blocks("README.md", "console") for found in RESULT.findall(text)]
    assert results
    for result in results:
        json.loads(result)


# What is listed -----------------------------------------------------------------------------------------------------


def test_the_page_of_settings_is_their_table() -> None:
    assert SETTINGS_PAGE.read_text(encoding="utf-8") == settings_page(), "write it: python tests/test_documents.py"


def test_every_setting_is_heeded() -> None:
    assert [setting.key for setting in SETTINGS if not _is_heeded(setting.field)] == []


def test_the_readme_lists_every_key_of_a_definition() -> None:
    keys = [key for key, *_ in table("README.md", "key", "if absent", "meaning")]
    assert sorted(keys) == sorted(definitions.KEYS.values())


def test_the_readme_lists_every_key_of_a_service() -> None:
    keys = [key for key, *_ in table("README.md", "key of a service", "if absent", "meaning")]
    assert sorted(keys) == sorted(services.KEYS.values())


def test_the_page_on_kubernetes_lists_every_manifest() -> None:
    listed = [*table("docs/kubernetes.md", "file of the base", "what it is for")]
    listed += table("docs/kubernetes.md", "file of the demonstration", "what it is for")
    there = {f"../{file.relative_to(HOUSE)}" for file in HOUSE.glob("deploy/kubernetes/**/*.yaml")}
    assert {link["target"] for cell, _ in listed for link in LINK.finditer(cell)} == {
        each for each in there if not each.endswith("/kustomization.yaml")
    }


def test_the_page_on_kubernetes_types_commands_that_there_are() -> None:
    typed = [words for words in commands("docs/kubernetes.md") if "slimjobs" in words]
    for words in typed:
        _parse(slimjobs, words[words.index("slimjobs") + 1 :])
    assert len(typed) == 1


def test_the_readme_lists_every_route() -> None:
    listed = {cell for cell, *_ in table("README.md", "route", "answer")}
    source = read("http/slimjobs/http/routes.py")
    routes = {f"{method.upper()} {_as_written(rule)}" for method, rule in ROUTE.findall(source)}
    assert listed == routes


def _as_written(rule: str) -> str:
    """A rule of the framework as people write a route; the run of a job is its id."""
    return re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule).replace("{run}", "{id}").rstrip("/")


def test_the_readme_lists_every_exit_code() -> None:
    codes = [int(code) for code, *_ in table("README.md", "exit code", "meaning")]
    assert codes == sorted(Exit)


def test_the_tables_of_states_are_those_of_the_code() -> None:
    runs = table("ARCHITECTURE.md", "state", "what may follow", "holds a slot")
    assert _table_of(runs) == {str(state): {event.__name__ for event in events} for state, events in RUN_STATES.items()}
    objects = table("ARCHITECTURE.md", "stage", "what may follow")
    assert _table_of(objects) == {str(stage): set(map(str, nexts)) for stage, nexts in STAGES.items()}
    wanted = [word for word, *_ in table("ARCHITECTURE.md", "wanted", "since", "seen", "effect")]
    assert wanted == [*map(str, Wanted), "nothing"]


def _table_of(rows: list[list[str]]) -> Mapping[str, set[str]]:
    return {state: set() if follow == "nothing" else set(follow.split(", ")) for state, follow, *_ in rows}


if __name__ == "__main__":
    SETTINGS_PAGE.write_text(settings_page(), encoding="utf-8")
