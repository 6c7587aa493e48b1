"""Which peers a node starts with, in a pod and elsewhere; it is never alone by mistake."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from slimjobs.core.configuration.place import find_place
from slimjobs.core.configuration.settings import Settings, read_settings
from slimjobs.core.orchestrators.kubernetes import Patience
from slimjobs.deploy.exits import Ended, Exit
from slimjobs.deploy.finding_peers import with_peers
from tests.core.orchestrators.kubernetes.api_server import FORBIDDEN, ApiServer, api, no_such, stateful_set
from tests.deploy.nodes import Node, until
from tests.deploy.pods import pod

__all__ = ["api"]

SHORT = Patience(total_seconds=0.3, attempt_seconds=20, pause_seconds=0.1)


def settings(pod_name: str, **given: str) -> Settings:
    environment = {"SlimData__Name": pod_name, "SlimFaas__Orchestrator": "Process", "SlimFaas__Runner": "unix:r"}
    reading = read_settings(environment | given, {}, find_place({}))
    assert reading.settings is not None, reading.problems
    return reading.settings


async def peers(server: ApiServer, of: Settings, environment: Mapping[str, str] | None = None) -> list[str]:
    given = server.environment if environment is None else environment
    found = await with_peers(of, given, server.service_account, SHORT)
    return [f"{peer.name}={peer.host}:{peer.port}" for peer in found.peers]


async def why(server: ApiServer, of: Settings) -> str:
    with pytest.raises(Ended) as ended:
        await peers(server, of)
    assert ended.value.code == Exit.USAGE
    return str(ended.value)


async def test_in_a_stateful_set_its_pods_are_the_peers(api: ApiServer) -> None:
    assert await peers(api, settings("slimjobs-1")) == [
        "slimjobs-0=slimjobs-0.nodes.demo.svc:3262",
        "slimjobs-1=slimjobs-1.nodes.demo.svc:3262",
        "slimjobs-2=slimjobs-2.nodes.demo.svc:3262",
    ]


async def test_all_listen_at_the_port_that_is_set(api: ApiServer) -> None:
    api.says(stateful_set(1))
    assert await peers(api, settings("slimjobs-0", SlimData__Port="4000")) == [
        "slimjobs-0=slimjobs-0.nodes.demo.svc:4000"
    ]


async def test_peers_that_are_set_are_the_peers(api: ApiServer) -> None:
    given = "slimjobs-1=10.0.0.1:1,b=10.0.0.2:2"
    assert await peers(api, settings("slimjobs-1", SlimData__Peers=given)) == given.split(",")
    assert api.asked == []


async def test_outside_a_pod_there_are_none(api: ApiServer) -> None:
    assert await peers(api, settings("slimjobs-1"), environment={}) == []
    assert api.asked == []


async def test_a_pod_whose_name_has_no_ordinal_is_alone_and_needs_no_api_server(api: ApiServer) -> None:
    shutil.rmtree(api.service_account)
    assert await peers(api, settings("slimjobs-6b9f7c5d8-x2kqz")) == []
    assert api.asked == []


async def test_a_pod_of_no_stateful_set_is_alone(api: ApiServer) -> None:
    api.says(no_such("job"))
    assert await peers(api, settings("job-1")) == []


async def test_a_pod_that_may_not_ask_is_told_what_is_missing(api: ApiServer) -> None:
    api.says(FORBIDDEN)
    assert (await why(api, settings("slimjobs-1"))).splitlines() == [
        "SlimData__Peers is not set, and the peers of slimjobs-1 are not known: the API server does not say whether "
        "there is a StatefulSet slimjobs in demo: status 403: cannot get resource statefulsets",
        "Its service account needs the right to get statefulsets of the API group apps there (RBAC).",
        "Or set SlimData__Peers; slimjobs-1=127.0.0.1:3262 is this node alone. Nothing was started.",
    ]


@pytest.mark.parametrize(("name", "reason"), [("token", "token file does not exist"), ("namespace", "cannot be read")])
async def test_a_pod_without_a_service_account_is_not_taken_for_one_that_is_alone(
    api: ApiServer, name: str, reason: str
) -> None:
    (api.service_account / name).unlink()
    assert reason in await why(api, settings("slimjobs-1"))


async def test_a_stateful_set_that_names_nobody_is_told(api: ApiServer) -> None:
    api.says(stateful_set(0))
    assert "has 0 replicas" in await why(api, settings("slimjobs-0"))
    api.says(stateful_set(3, serviceName=""))
    assert "has no serviceName" in await why(api, settings("slimjobs-0"))


async def test_settings_that_do_not_fit_to_several_nodes_are_told(api: ApiServer) -> None:
    assert "SlimFaas__Runner: several nodes" in await why(api, settings("slimjobs-1", SlimFaas__Runner=""))
    assert "SlimData__Port is 0" in await why(api, settings("slimjobs-1", SlimData__Port="0"))


async def test_a_node_of_another_name_than_its_pod_is_told(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "slimjobs-1")
    assert "'first' is none of the names" in await why(api, settings("first"))
    api.says(no_such("node"), stateful_set())
    assert "'node-1' is none of the names" in await why(api, settings("node-1"))
    assert [asked.path.rpartition("/")[2] for asked in api.asked] == ["slimjobs", "node", "slimjobs"]


# The whole command ----------------------------------------------------------------------------------------------------


def names(node: Node) -> list[str]:
    return [row["Name"] for row in node.ready().client.request("GET", "/cluster").body["Members"]]


def test_the_only_pod_of_a_stateful_set_founds_its_cluster(api: ApiServer, tmp_path: Path) -> None:
    api.says(stateful_set(1))
    with pod("slimjobs-0", tmp_path / "data", api.service_account, api.environment) as node:
        assert names(node) == ["slimjobs-0"]
        (told,) = node.said("the peers are the pods of a StatefulSet")
        assert (told["name"], told["peers"]) == ("slimjobs", ["slimjobs-0"])
        assert node.stop() == 0


def test_a_pod_of_no_stateful_set_says_that_it_is_alone(api: ApiServer, tmp_path: Path) -> None:
    api.says(no_such())
    with pod("slimjobs-0", tmp_path / "data", api.service_account, api.environment) as node:
        assert names(node) == ["slimjobs-0"]
        assert len(node.said("this node is alone")) == 1
        assert node.stop() == 0


def test_a_node_that_is_stopped_while_it_asks_ends_and_has_started_nothing(api: ApiServer, tmp_path: Path) -> None:
    api.says(FORBIDDEN)
    with pod("slimjobs-0", tmp_path / "data", api.service_account, api.environment) as node:
        until(lambda: bool(node.said("the StatefulSet is asked for again")), "it has asked")
        node.signal(signal.SIGTERM)
        assert node.exit_code(20) == 0
    assert not (tmp_path / "data").exists()


def test_a_node_whose_peers_cannot_be_known_ends_and_has_started_nothing(api: ApiServer, tmp_path: Path) -> None:
    with pod("slimjobs-0", tmp_path / "data", api.service_account, api.environment) as node:
        assert node.exit_code() == Exit.USAGE
        assert node.messages[-2]["event"].startswith("SlimFaas__Runner: several nodes with Process need a runner")
        assert node.messages[-1]["event"] == "The peers are the pods of the StatefulSet slimjobs."
    assert not (tmp_path / "data").exists()
