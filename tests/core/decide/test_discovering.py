"""Definitions found in the cluster beside those of the configuration: which is in force, and what is told."""

from __future__ import annotations

import msgspec
import pytest

from slimjobs.core.configuration.cron import parse_cron
from slimjobs.core.configuration.definitions import BUILT_IN_DEFAULT
from slimjobs.core.configuration.schedules import DeclaredSchedule
from slimjobs.core.decide.commands import Configure, Declared
from slimjobs.core.decide.configuring import decide_configuration
from slimjobs.core.decide.discovering import PROBLEM_CHARACTERS, PROBLEMS_KEPT, decide_discovery
from slimjobs.core.machine.timetables import Timetables
from slimjobs.core.orchestrators.ports import FoundDefinition
from slimjobs.eventlog.events.cluster import DefinitionDeclared, DefinitionRemoved, DiscoveryRefused
from slimjobs.eventlog.events.definitions import Definition, Overrides, Source
from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.runs import RunAdmitted
from slimjobs.projections.snapshot import restore, snapshot_frames
from tests.core.decide.chronicle import Chronicle

ONE, TWO = Definition(command=("one",)), Definition(command=("two",), number_parallel_job=2)


class Cluster:
    """A log, the configuration that is proposed, and the CronJobs that are found."""

    def __init__(self) -> None:
        self.log = Chronicle()
        self.configure()

    def configure(self, **definitions: Definition) -> None:
        declared = {name: Declared(each, Source.CONFIGURATION) for name, each in definitions.items()}
        command = Configure({"default": Declared(BUILT_IN_DEFAULT, Source.BUILT_IN)} | declared)
        decision = decide_configuration(self.log.state, command, self.log.observed, Timetables(), self.log.now)
        self.log.append(decision.events)

    def find(self, *found: FoundDefinition) -> tuple[Event, ...]:
        events = decide_discovery(self.log.state, found, self.log.observed, Timetables(), "UTC", self.log.now)
        self.log.append(events)
        return events

    def in_force(self, name: str) -> tuple[Source, Definition] | None:
        number = self.log.state.current.get(name)
        return (
            None if number is None else (lambda each: (each.source, each.definition))(self.log.state.versions[number])
        )


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def well(name: str, definition: Definition = ONE, *schedules: DeclaredSchedule) -> FoundDefinition:
    return FoundDefinition(name, definition, schedules)


def broken(name: str, *problems: str) -> FoundDefinition:
    return FoundDefinition(name, None, problems=problems or ("spec.suspend: expected true",))


def daily(*args: str) -> DeclaredSchedule:
    return DeclaredSchedule(parse_cron("@daily"), Overrides(args=args))


def test_what_is_found_comes_into_force_changes_and_goes(cluster: Cluster) -> None:
    assert [type(event) for event in cluster.find(well("cron"))] == [DefinitionDeclared]
    assert cluster.in_force("cron") == (Source.ANNOTATION, ONE)
    assert cluster.find(well("cron")) == ()
    cluster.find(well("cron", TWO))
    assert cluster.in_force("cron") == (Source.ANNOTATION, TWO)
    assert cluster.find() == (DefinitionRemoved("cron"),)
    assert cluster.in_force("cron") is None


def test_the_configuration_wins_and_gives_way_again(cluster: Cluster) -> None:
    cluster.configure(cron=TWO)
    assert cluster.find(well("cron")) == ()
    cluster.configure()
    assert cluster.in_force("cron") is None
    cluster.find(well("cron"))
    assert cluster.in_force("cron") == (Source.ANNOTATION, ONE)
    cluster.configure(cron=TWO)
    assert cluster.in_force("cron") == (Source.CONFIGURATION, TWO)
    assert cluster.find() == ()


def test_a_proposal_of_the_configuration_leaves_alone_what_was_found(cluster: Cluster) -> None:
    cluster.find(well("cron"))
    cluster.configure(other=TWO)
    cluster.configure()
    assert cluster.in_force("cron") == (Source.ANNOTATION, ONE)
    assert cluster.in_force("other") is None


def test_a_cron_job_may_be_the_default_until_it_goes(cluster: Cluster) -> None:
    cluster.find(well("default", TWO))
    assert cluster.in_force("default") == (Source.ANNOTATION, TWO)
    cluster.configure()
    assert cluster.in_force("default") == (Source.ANNOTATION, TWO)
    cluster.find()
    assert cluster.in_force("default") == (Source.BUILT_IN, BUILT_IN_DEFAULT)


def test_a_broken_one_keeps_what_was_good_and_says_so_until_it_is_mended(cluster: Cluster) -> None:
    cluster.find(well("cron"))
    refused = DiscoveryRefused("cron", ("spec.suspend: expected true",))
    assert cluster.find(broken("cron")) == (refused,)
    assert cluster.in_force("cron") == (Source.ANNOTATION, ONE)
    assert cluster.find(broken("cron")) == ()
    assert cluster.log.state.refused == {"cron": refused.problems}
    assert cluster.find(well("cron")) == (DiscoveryRefused("cron", ()),)
    assert cluster.log.state.refused == {}


def test_one_that_was_never_good_is_told_of_and_defines_nothing(cluster: Cluster) -> None:
    assert cluster.find(broken("No Name")) == (DiscoveryRefused("No Name", ("spec.suspend: expected true",)),)
    assert cluster.in_force("No Name") is None
    assert cluster.find() == (DiscoveryRefused("No Name", ()),)


def test_of_a_hidden_one_nothing_is_told(cluster: Cluster) -> None:
    cluster.find(broken("cron"))
    cluster.configure(cron=TWO)
    assert cluster.find(broken("cron")) == (DiscoveryRefused("cron", ()),)


def test_what_is_told_is_bounded(cluster: Cluster) -> None:
    cluster.find(broken("cron", *("x" * 10_000 for _ in range(100))))
    [problems] = cluster.log.state.refused.values()
    assert (len(problems), len(problems[0])) == (PROBLEMS_KEPT, PROBLEM_CHARACTERS)


def test_a_raised_cap_admits(cluster: Cluster) -> None:
    cluster.find(well("cron", ONE))
    cluster.log.enqueue("cron")
    waiting = cluster.log.enqueue("cron")
    assert RunAdmitted(waiting) in cluster.find(well("cron", msgspec.structs.replace(ONE, number_parallel_job=2)))


def test_schedules_come_and_go_with_their_cron_job_and_stay_while_it_is_broken(cluster: Cluster) -> None:
    cluster.find(well("cron", ONE, daily("1"), daily("2")))
    schedules = cluster.log.state.schedules
    assert [(each.job, each.source) for each in schedules.of("cron")] == [("cron", Source.ANNOTATION)] * 2
    kept = set(schedules.by_id)
    cluster.find(broken("cron"))
    assert set(schedules.by_id) == kept
    cluster.find(well("cron", ONE, daily("2")))
    assert len(schedules.by_id) == 1
    assert set(schedules.by_id) < kept
    cluster.find()
    assert schedules.by_id == {}


def test_a_restored_snapshot_knows_what_is_broken(cluster: Cluster) -> None:
    cluster.find(broken("cron"), well("good"))
    restored = restore(snapshot_frames(cluster.log.state))
    assert restored.refused == cluster.log.state.refused
    assert b"".join(snapshot_frames(restored)) == b"".join(snapshot_frames(cluster.log.state))
