"""The settings of contract §1: names, defaults by place, what each takes, and what is said about the rest."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from slimjobs.core.configuration.place import Place, find_place
from slimjobs.core.configuration.setting_kinds import LoopbackAddress, Peer, UnixAddress
from slimjobs.core.configuration.settings import (
    SETTINGS,
    LogFormat,
    LogLevel,
    Orchestrator,
    Settings,
    SettingsReading,
    read_settings,
)

LAPTOP = Place(host_name="laptop", on_terminal=True)
POD = Place(host_name="slimfaas-0", in_pod=True, namespace="slimfaas-demo")


def reading(place: Place = LAPTOP, flags: dict[str, str] | None = None, /, **environment: str) -> SettingsReading:
    return read_settings(environment, flags or {}, place)


def settings(place: Place = LAPTOP, flags: dict[str, str] | None = None, /, **environment: str) -> Settings:
    read = reading(place, flags, **environment)
    assert read.problems == ()
    assert read.settings is not None
    return read.settings


def problem(**environment: str) -> str:
    (line,) = reading(**environment).problems
    assert "\n" not in line
    return line


def test_defaults_on_a_laptop_run_processes_for_this_machine_alone() -> None:
    assert settings() == Settings(
        jobs_configuration="",
        jobs_configuration_file=None,
        namespace="default",
        orchestrator=Orchestrator.PROCESS,
        http_host="127.0.0.1",
        http_port=5000,
        log_level=LogLevel.INFO,
        log_format=LogFormat.CONSOLE,
        trusted_proxies=(),
        trusted_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")),
        job_default_time_zone="UTC",
        runner=None,
        max_queued_jobs=50_000,
        max_queued_bytes=8 * 2**20,
        max_body_bytes=256 * 1024,
        max_batch_bytes=2**20,
        max_idempotency_keys=10_000,
        max_finished_jobs=1000,
        max_connections=1000,
        max_connections_per_address=200,
        external_requests_per_second=0.0,
        max_output_bytes=2**20,
        backoff_seconds=10.0,
        grace_seconds=30.0,
        max_clock_skew_seconds=5.0,
        directory=Path("./data"),
        node_name="laptop",
        raft_port=None,
        peers=(),
        backup_directory=None,
        backup_interval_seconds=60.0,
        snapshot_interval_entries=50_000,
        snapshot_interval_bytes=32 * 2**20,
        election_milliseconds=1000,
        retention_days=30.0,
        retention_bytes=2**30,
        tls_certificate=None,
        tls_key=None,
        tls_authority=None,
    )


def test_defaults_in_a_pod_are_kubernetes_on_all_addresses_and_trust_no_network() -> None:
    inside = settings(POD)
    assert inside.orchestrator is Orchestrator.KUBERNETES
    assert (inside.namespace, inside.node_name) == ("slimfaas-demo", "slimfaas-0")
    assert inside.http_host is None
    assert inside.trusted_networks == ()
    assert inside.log_format is LogFormat.JSON


def test_a_given_kubeconfig_means_kubernetes() -> None:
    assert settings(Place("laptop", kubeconfig_given=True)).orchestrator is Orchestrator.KUBERNETES


def test_defaults_follow_the_orchestrator_that_was_asked_for() -> None:
    inside = settings(POD, SlimFaas__Orchestrator="process")
    assert inside.http_host == "127.0.0.1"
    assert inside.trusted_networks != ()


def test_keys_are_matched_without_regard_to_case_and_flags_win() -> None:
    read = settings(LAPTOP, {"SlimData__Directory": "/b"}, SLIMFAAS__HTTPPORT="8080", slimdata__directory="/a")
    assert read.http_port == 8080
    assert read.directory == Path("/b")


def test_an_empty_value_is_an_absent_one() -> None:
    assert settings(SlimFaas__HttpPort="", SlimData__BackupDirectory="").http_port == 5000


def test_one_key_in_two_spellings_with_two_values_is_a_problem() -> None:
    assert "given twice" in problem(SlimFaas__HttpPort="1", SLIMFAAS__HTTPPORT="2")
    assert settings(SlimFaas__HttpPort="1", SLIMFAAS__HTTPPORT="1").http_port == 1


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("SlimFaas__HttpHost", "*", None),
        ("SlimFaas__HttpHost", "::1", "::1"),
        ("SlimFaas__HttpPort", "0", 0),
        ("SlimFaas__LogLevel", "WARNING", LogLevel.WARNING),
        ("SlimFaas__TrustedProxies", "10.0.0.0/8, fd00::/8", (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))),
        ("SlimFaas__TrustedProxies", "192.0.2.1", (ip_network("192.0.2.1/32"),)),
        ("SlimFaas__JobDefaultTimeZone", "Europe/Paris", "Europe/Paris"),
        ("SlimFaas__Runner", "unix:/run/runner.sock", UnixAddress(Path("/run/runner.sock"))),
        ("SlimFaas__Runner", "127.0.0.1:5001", LoopbackAddress("127.0.0.1", 5001)),
        ("SlimFaas__Runner", "[::1]:5001", LoopbackAddress("::1", 5001)),
        ("SlimFaas__MaxBodyBytes", "2048", 2048),
        ("SlimFaas__MaxBodyBytes", "512Ki", 512 * 1024),
        ("SlimFaas__MaxOutputBytes", "8 MiB", 8 * 2**20),
        ("SlimFaas__MaxOutputBytes", "8MB", 8_000_000),
        ("SlimFaas__MaxOutputBytes", "0.5Gi", 2**29),
        ("SlimFaas__BackoffSeconds", "0.05", 0.05),
        ("SlimFaas__Namespace", "jobs-1", "jobs-1"),
        ("SlimFaas__JobsConfiguration", " {} \n", " {} \n"),
        ("SlimData__BackupDirectory", "/backup", Path("/backup")),
    ],
)
def test_a_value_is_read_into_its_type(key: str, text: str, value: object) -> None:
    (line,) = (each for each in SETTINGS if each.key == key)
    assert getattr(settings(**{key: text}), line.field) == value


def test_peers_name_the_nodes_of_a_cluster() -> None:
    read = settings(SlimData__Peers="a=host-a:3262, b=[fd00::2]:1", SlimData__Name="b", SlimFaas__Runner="unix:r")
    assert read.peers == (Peer("a", "host-a", 3262), Peer("b", "fd00::2", 1))


@pytest.mark.parametrize(
    ("key", "text", "takes"),
    [
        ("SlimFaas__HttpPort", "http", "a port, 0 to 65535"),
        ("SlimFaas__HttpPort", "65536", "a port"),
        ("SlimFaas__HttpPort", "-1", "a port"),
        ("SlimFaas__HttpPort", "٣", "a port"),
        ("SlimFaas__HttpHost", "http://here", "an address or host name"),
        ("SlimFaas__Orchestrator", "Docker", "Kubernetes or Process"),
        ("SlimFaas__LogLevel", "loud", "debug or info or warning or error"),
        ("SlimFaas__LogFormat", "xml", "console or json"),
        ("SlimFaas__TrustedNetworks", "10.0.0.1/8", "networks such as 10.0.0.0/8"),
        ("SlimFaas__TrustedNetworks", "everyone", "networks"),
        ("SlimFaas__JobDefaultTimeZone", "Mars/Olympus", "an IANA time zone"),
        ("SlimFaas__Runner", "192.0.2.1:5001", "a loopback address"),
        ("SlimFaas__Runner", "example.org:5001", "a loopback address"),
        ("SlimFaas__Runner", "unix:", "unix:PATH"),
        ("SlimFaas__MaxQueuedJobs", "0", "a whole number of jobs, 1 or more"),
        ("SlimFaas__MaxQueuedJobs", "1e3", "a whole number"),
        ("SlimFaas__MaxBodyBytes", "lots", "256Ki or 2 MiB"),
        ("SlimFaas__MaxBodyBytes", "-1Ki", "a size"),
        ("SlimFaas__MaxBodyBytes", "10", "1024 to 4194304 bytes"),
        ("SlimFaas__MaxBatchBytes", "8Mi", "1024 to 4194304 bytes"),
        ("SlimFaas__MaxOutputBytes", "10", "at least 1024 bytes"),
        ("SlimFaas__MaxBodyBytes", "1500000.5", "a size"),
        ("SlimFaas__BackoffSeconds", "-1", "a number of seconds, 0 or more"),
        ("SlimFaas__BackoffSeconds", "nan", "a number of seconds"),
        ("SlimFaas__Namespace", "My_Space", "a Kubernetes namespace"),
        ("SlimData__BackupIntervalSeconds", "0", "above 0"),
        ("SlimData__ElectionMilliseconds", "5", "10 to 600000"),
        ("SlimData__Peers", "a", "name=host:port"),
        ("SlimData__Peers", "a=h:1,a=h:2", "every name once"),
        ("SlimData__Peers", "a=h:0", "name=host:port"),
        ("SlimData__Name", "a,b", "the name of a node"),
        ("SlimData__Directory", "a\0b", "a path"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_its_key_and_what_it_takes(key: str, text: str, takes: str) -> None:
    line = problem(**{key: text})
    assert line.startswith(f"{key}: {text!r} is not taken; it takes ")
    assert takes in line


def test_every_problem_is_listed() -> None:
    assert len(reading(SlimFaas__HttpPort="x", SlimData__Port="y", SlimFaas__LogLevel="z").problems) == 3


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (
            {"SlimFaas__JobsConfiguration": "{}", "SlimFaas__JobsConfigurationFile": "f"},
            "SlimFaas__JobsConfiguration and SlimFaas__JobsConfigurationFile are both set",
        ),
        ({"SlimData__TlsKey": "k"}, "go together"),
        ({"SlimData__Peers": "a=h:1"}, "'laptop' is none of the names in SlimData__Peers"),
        ({"SlimData__Peers": "a=h:1,b=h:2", "SlimData__Name": "a"}, "SlimFaas__Runner: several nodes with Process"),
    ],
)
def test_settings_that_contradict_each_other_are_a_problem(environment: dict[str, str], words: str) -> None:
    assert words in problem(**environment)


def test_an_unknown_key_is_a_warning_with_the_nearest_known_one() -> None:
    read = reading(SlimFaas__HtpPort="1", SlimData__Whatever="1", HOME="/", SLIMFAAS_PORT="tcp://10.0.0.1:5000")
    assert read.settings is not None
    assert read.warnings == (
        "SlimFaas__HtpPort: no such setting, it is ignored; did you mean 'SlimFaas__HttpPort'?",
        "SlimData__Whatever: no such setting, it is ignored",
    )


def test_every_setting_has_a_flag_a_default_and_a_meaning() -> None:
    assert len({each.flag for each in SETTINGS}) == len(SETTINGS)
    for each in SETTINGS:
        assert each.flag.startswith("--")
        assert each.meaning
        assert each.default_text
        assert each.kind.takes


def test_a_place_is_found_by_looking_around(tmp_path: Path) -> None:
    outside = find_place({}, tmp_path)
    assert outside.host_name
    assert (outside.in_pod, outside.kubeconfig_given, outside.namespace) == (False, False, None)
    (tmp_path / "namespace").write_text("slimfaas-demo\n")
    (tmp_path / "token").write_text("")
    inside = find_place({"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBECONFIG": "/k"}, tmp_path)
    assert (inside.in_pod, inside.kubeconfig_given, inside.namespace) == (True, True, "slimfaas-demo")
