"""Where the configuration comes from: real files that change, break, vanish and come back."""

from __future__ import annotations

from pathlib import Path

from slimjobs.core.configuration.jobs import EMPTY
from slimjobs.core.configuration.place import Place
from slimjobs.core.configuration.settings import read_settings
from slimjobs.core.configuration.source import MAX_BYTES, ConfigurationSource

ONE = '{"Configurations": {"one": {}}}'
TWO = '{"Configurations": {"two": {}}} # comment'


def names(source: ConfigurationSource) -> set[str]:
    assert source.configuration is not None
    return set(source.configuration.definitions) - {"default"}


def test_a_variable_is_read_once_and_never_changes() -> None:
    source = ConfigurationSource(ONE)
    assert source.look()
    assert names(source) == {"one"}
    assert not source.look()


def test_nothing_given_is_the_empty_configuration() -> None:
    source = ConfigurationSource("")
    assert source.look()
    assert source.configuration == EMPTY


def test_the_settings_say_which_of_both_it_is(tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(ONE)
    settings = read_settings({"SlimFaas__JobsConfigurationFile": str(file)}, {}, Place("host")).settings
    assert settings is not None
    source = ConfigurationSource.of(settings)
    assert source.look()
    assert names(source) == {"one"}


def test_a_changed_file_is_read_again_and_an_equal_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(ONE)
    source = ConfigurationSource("", file)
    assert source.look()
    file.write_text(ONE)
    assert not source.look()
    file.write_text(TWO)
    assert source.look()
    assert names(source) == {"two"}


def test_a_configmap_that_is_swapped_by_its_link_is_seen(tmp_path: Path) -> None:
    for version, text in (("v1", ONE), ("v2", TWO)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "jobs.json").write_text(text)
    (tmp_path / "current").symlink_to("v1")
    source = ConfigurationSource("", tmp_path / "current" / "jobs.json")
    assert source.look()
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").rename(tmp_path / "current")
    assert source.look()
    assert names(source) == {"two"}


def test_a_reload_that_fails_keeps_the_old_one_and_says_why_once(tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(ONE)
    source = ConfigurationSource("", file)
    source.look()
    file.write_text('{"Configurations": {"two": {"Imge": ""}}}')
    assert source.look()
    assert not source.look()
    assert names(source) == {"one"}
    (problem,) = source.problems
    assert "did you mean 'Image'?" in problem.text
    file.write_text(TWO)
    assert source.look()
    assert names(source) == {"two"}
    assert source.problems == ()


def test_a_file_that_vanishes_keeps_the_old_one_and_its_return_mends_it(tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(ONE)
    source = ConfigurationSource("", file)
    source.look()
    file.unlink()
    assert source.look()
    assert not source.look()
    assert names(source) == {"one"}
    assert "cannot be read: No such file or directory" in source.problems[0].text
    file.write_text(ONE)
    assert source.look()
    assert source.problems == ()


def test_a_start_without_a_readable_file_has_problems_and_no_configuration(tmp_path: Path) -> None:
    for file in (tmp_path / "missing.json", tmp_path):
        source = ConfigurationSource("", file)
        assert source.look()
        assert source.configuration is None
        assert str(file) in source.problems[0].text


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    with file.open("wb") as opened:
        opened.truncate(MAX_BYTES * 1000)
    source = ConfigurationSource("", file)
    source.look()
    assert "more than" in source.problems[0].text
