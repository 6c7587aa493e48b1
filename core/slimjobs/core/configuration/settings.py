"""All settings (contract §1): one line each says what it is called, what it takes, what it is by default and why.

The struct is the table: the command line makes its flags from it, the documentation its page, `read_settings` its
values. Every default is a text that goes through the same reader as what people write.
"""

# ruff: noqa: RUF009 - `setting` makes a dataclass field, as `dataclasses.field` does.
from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from slimjobs.core.configuration import setting_kinds as kinds
from slimjobs.core.configuration.nearest import nearest
from slimjobs.core.configuration.place import Place
from slimjobs.core.configuration.relaxed_json import shortened
from slimjobs.core.configuration.setting_kinds import Kind, Network, Peer, RunnerAddress, T

RECORD_BYTES: Final = 4 << 20
"""What is accepted at once becomes one record, which has to fit into half a segment of the log."""

PREFIXES: Final = ("slimfaas__", "slimdata__")


class Orchestrator(enum.StrEnum):
    """Who runs the jobs."""

    KUBERNETES = "Kubernetes"
    PROCESS = "Process"


class LogLevel(enum.StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.StrEnum):
    CONSOLE = "console"
    JSON = "json"


@dataclass(frozen=True)
class ByPlace:
    """A default that depends on where the node starts: how it is described, and what it is there."""

    description: str
    of: Callable[[Place, Orchestrator], str]


@dataclass(frozen=True)
class Setting:
    """A line of the table. `field` is its name in `Settings`; no value is ever Any once it is in there."""

    key: str
    kind: Kind[Any]
    default: str | ByPlace
    meaning: str
    field: str = ""

    @property
    def flag(self) -> str:
        """The option of the command line that means the same."""
        return f"--{self.field.replace('_', '-')}"

    @property
    def default_text(self) -> str:
        """The default as the documentation shows it."""
        return self.default.description if isinstance(self.default, ByPlace) else self.default or "empty"

    def default_at(self, place: Place, orchestrator: Orchestrator) -> str:
        """The default as a text to be read, at this place."""
        return self.default.of(place, orchestrator) if isinstance(self.default, ByPlace) else self.default


def setting(key: str, kind: Kind[T], default: str | ByPlace, meaning: str) -> T:
    """A field of `Settings`. Like `dataclasses.field`, it is typed as the value that the field will hold."""
    field: T = dataclasses.field(metadata={"setting": Setting(key, kind, default, meaning)})
    return field


def _orchestrator(place: Place, _: Orchestrator) -> str:
    return Orchestrator.KUBERNETES if place.in_pod or place.kubeconfig_given else Orchestrator.PROCESS


def _for_process(process: str, kubernetes: str) -> Callable[[Place, Orchestrator], str]:
    return lambda _, orchestrator: process if orchestrator is Orchestrator.PROCESS else kubernetes


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a node runs. Times, sizes and ports are numbers in the unit that the field's name says."""

    jobs_configuration: str = setting(
        "SlimFaas__JobsConfiguration", kinds.ANY_TEXT, "", "the jobs configuration, as JSON"
    )
    jobs_configuration_file: Path | None = setting(
        "SlimFaas__JobsConfigurationFile",
        kinds.optional(kinds.PATH),
        "",
        "the same, in a file; re-read when it changes",
    )
    namespace: str = setting(
        "SlimFaas__Namespace",
        kinds.NAMESPACE,
        ByPlace("the service account's, else default", lambda place, _: place.namespace or "default"),
        "where jobs run",
    )
    orchestrator: Orchestrator = setting(
        "SlimFaas__Orchestrator",
        kinds.one_of(Orchestrator),
        ByPlace("Kubernetes inside a pod or where KUBECONFIG is set, else Process", _orchestrator),
        "who runs the jobs",
    )
    http_host: str | None = setting(
        "SlimFaas__HttpHost",
        kinds.HOST,
        ByPlace("127.0.0.1 for Process, which executes programs; else *", _for_process("127.0.0.1", "*")),
        "where REST listens; None in the program is all addresses",
    )
    http_port: int = setting("SlimFaas__HttpPort", kinds.port(), "5000", "REST; 0 takes a free port")
    log_level: LogLevel = setting(
        "SlimFaas__LogLevel", kinds.one_of(LogLevel), "info", "the least severe messages that are shown"
    )
    log_format: LogFormat = setting(
        "SlimFaas__LogFormat",
        kinds.one_of(LogFormat),
        ByPlace("console on a terminal, else json", lambda place, _: "console" if place.on_terminal else "json"),
        "how messages on stderr look",
    )
    trusted_proxies: tuple[Network, ...] = setting(
        "SlimFaas__TrustedProxies", kinds.NETWORKS, "", "whose X-Forwarded-For and Forwarded are believed"
    )
    trusted_networks: tuple[Network, ...] = setting(
        "SlimFaas__TrustedNetworks",
        kinds.NETWORKS,
        ByPlace("loopback for Process, none for Kubernetes", _for_process("127.0.0.0/8,::1/128", "")),
        "who counts as internal, besides the namespace's own pods",
    )
    job_default_time_zone: str = setting(
        "SlimFaas__JobDefaultTimeZone", kinds.TIME_ZONE, "UTC", "time zone of schedules that name none"
    )
    runner: RunnerAddress | None = setting(
        "SlimFaas__Runner", kinds.optional(kinds.RUNNER), "", "a shared runner of processes"
    )
    max_queued_jobs: int = setting(
        "SlimFaas__MaxQueuedJobs", kinds.whole(1, unit="jobs"), "50000", "above it a trigger is 429"
    )
    max_queued_bytes: int = setting(
        "SlimFaas__MaxQueuedBytes", kinds.byte_size(1024), "8Mi", "stored overrides; above it a trigger is 429"
    )
    max_body_bytes: int = setting(
        "SlimFaas__MaxBodyBytes", kinds.byte_size(1024, RECORD_BYTES), "256Ki", "above it a request is 413"
    )
    max_batch_bytes: int = setting(
        "SlimFaas__MaxBatchBytes", kinds.byte_size(1024, RECORD_BYTES), "1Mi", "above it a batch is 413"
    )
    max_idempotency_keys: int = setting(
        "SlimFaas__MaxIdempotencyKeys", kinds.whole(unit="keys"), "10000", "remembered; above it a keyed request is 429"
    )
    max_finished_jobs: int = setting(
        "SlimFaas__MaxFinishedJobs", kinds.whole(unit="jobs"), "1000", "finished runs kept in lists, per definition"
    )
    max_connections: int = setting(
        "SlimFaas__MaxConnections",
        kinds.whole(1, unit="connections"),
        "1000",
        "above it a connection is closed with 503",
    )
    max_connections_per_address: int = setting(
        "SlimFaas__MaxConnectionsPerAddress", kinds.whole(1, unit="connections"), "200", "the same, for one address"
    )
    external_requests_per_second: float = setting(
        "SlimFaas__ExternalRequestsPerSecond", kinds.number("requests"), "0", "per external address; 0 is no limit"
    )
    max_output_bytes: int = setting(
        "SlimFaas__MaxOutputBytes", kinds.byte_size(1024), "1Mi", "output kept per attempt by the runner, head and tail"
    )
    backoff_seconds: float = setting(
        "SlimFaas__BackoffSeconds", kinds.number("seconds"), "10", "the runner's first back-off; it doubles"
    )
    grace_seconds: float = setting(
        "SlimFaas__GraceSeconds", kinds.number("seconds"), "30", "the runner's time between SIGTERM and SIGKILL"
    )
    max_clock_skew_seconds: float = setting(
        "SlimFaas__MaxClockSkewSeconds",
        kinds.number("seconds", above_zero=True),
        "5",
        "a leader further than this from its peers' median resigns",
    )
    directory: Path = setting(
        "SlimData__Directory", kinds.PATH, "./data", "the event log; held by one process at a time"
    )
    node_name: str = setting(
        "SlimData__Name",
        kinds.NAME,
        ByPlace("the host name", lambda place, _: place.host_name),
        "which of the peers this node is",
    )
    raft_port: int | None = setting(
        "SlimData__Port",
        kinds.optional(kinds.port()),
        ByPlace("this node's in SlimData__Peers, else 3262", lambda _, __: ""),
        "where a node of several listens for its peers; 0 takes a free port",
    )
    peers: tuple[Peer, ...] = setting(
        "SlimData__Peers",
        kinds.PEERS,
        ByPlace("from the StatefulSet; outside of one, none", lambda _, __: ""),
        "the nodes of the cluster",
    )
    backup_directory: Path | None = setting(
        "SlimData__BackupDirectory", kinds.optional(kinds.PATH), "", "where schedules are backed up; empty is nowhere"
    )
    backup_interval_seconds: float = setting(
        "SlimData__BackupIntervalSeconds",
        kinds.number("seconds", above_zero=True),
        "60",
        "how often it is looked whether schedules changed",
    )
    snapshot_interval_entries: int = setting(
        "SlimData__SnapshotIntervalEntries",
        kinds.whole(1, unit="entries"),
        "50000",
        "how often a checkpoint is written",
    )
    snapshot_interval_bytes: int = setting(
        "SlimData__SnapshotIntervalBytes", kinds.byte_size(64 * 1024), "32Mi", "the same, by size of the log"
    )
    election_milliseconds: int = setting(
        "SlimData__ElectionMilliseconds",
        kinds.whole(10, 600_000, unit="milliseconds"),
        "1000",
        "election timeout; heartbeats are a tenth",
    )
    retention_days: float = setting(
        "SlimData__RetentionDays", kinds.number("days"), "30", "event history kept behind the snapshots"
    )
    retention_bytes: int = setting("SlimData__RetentionBytes", kinds.byte_size(0), "1Gi", "the same, by size")
    tls_certificate: Path | None = setting(
        "SlimData__TlsCertificate", kinds.optional(kinds.PATH), "", "mutual TLS between nodes: this node's certificate"
    )
    tls_key: Path | None = setting("SlimData__TlsKey", kinds.optional(kinds.PATH), "", "its key")
    tls_authority: Path | None = setting(
        "SlimData__TlsAuthority", kinds.optional(kinds.PATH), "", "the authority that signed all nodes' certificates"
    )


def _table() -> Iterator[Setting]:
    for field in dataclasses.fields(Settings):
        yield dataclasses.replace(field.metadata["setting"], field=field.name)


SETTINGS: Final[tuple[Setting, ...]] = tuple(_table())
BY_KEY: Final[Mapping[str, Setting]] = {each.key.casefold(): each for each in SETTINGS}
_NAMES: Final[Mapping[str, str]] = {each.key.partition("__")[2]: each.key for each in SETTINGS}


@dataclass(frozen=True)
class SettingsReading:
    """What came of reading: the settings, or None and every problem; and warnings either way. Each is one line."""

    settings: Settings | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def read_settings(environment: Mapping[str, str], flags: Mapping[str, str], place: Place) -> SettingsReading:
    """The settings of the environment, overridden by flags (both by key, `SlimFaas__HttpPort`, in any case).

    An empty value is an absent one.
    """
    problems: list[str] = []
    given = _given(environment, problems) | _given(flags, problems)
    warnings = tuple(_warnings(environment)) + tuple(_warnings(flags))
    values = _values(given, place, problems)
    if problems:
        return SettingsReading(None, tuple(problems), warnings)
    settings = Settings(**values)
    problems.extend(contradictions(settings))
    return SettingsReading(None if problems else settings, tuple(problems), warnings)


def _given(source: Mapping[str, str], problems: list[str]) -> dict[str, tuple[str, str]]:
    """What is given, by folded key: the key as it was written, and the value."""
    given: dict[str, tuple[str, str]] = {}
    for key, value in source.items():
        folded = key.casefold()
        if not value or folded not in BY_KEY:
            continue
        if folded in given and given[folded][1] != value:
            problems.append(f"{key}: it is given twice, also as {given[folded][0]}, with another value")
        given[folded] = key, value
    return given


def _warnings(source: Mapping[str, str]) -> Iterator[str]:
    for key in source:
        folded = key.casefold()
        if folded.startswith(PREFIXES) and folded not in BY_KEY:
            # All keys begin alike, so only what follows the section is compared.
            meant = nearest(key[len(PREFIXES[0]) :], _NAMES)
            suggestion = f"; did you mean '{_NAMES[meant]}'?" if meant else ""
            yield f"{shortened(key, 80)}: no such setting, it is ignored{suggestion}"


def _values(given: Mapping[str, tuple[str, str]], place: Place, problems: list[str]) -> dict[str, Any]:
    """The value of each field; Any, because each has the type that its own kind reads."""
    who = BY_KEY["slimfaas__orchestrator"]
    orchestrator = _read(who, given, place, Orchestrator.PROCESS, [])
    default_orchestrator = orchestrator if isinstance(orchestrator, Orchestrator) else Orchestrator.PROCESS
    return {each.field: _read(each, given, place, default_orchestrator, problems) for each in SETTINGS}


def _read(
    line: Setting,
    given: Mapping[str, tuple[str, str]],
    place: Place,
    orchestrator: Orchestrator,
    problems: list[str],
) -> object:
    key, text = given.get(line.key.casefold(), (line.key, line.default_at(place, orchestrator)))
    try:
        value: object = line.kind.read(text if line.kind is kinds.ANY_TEXT else text.strip())
    except ValueError:
        problems.append(f"{key}: {shortened(text)!r} is not taken; it takes {line.kind.takes}")
        return None
    return value


def contradictions(settings: Settings) -> Iterator[str]:
    """What each setting alone allows but all together do not."""
    if settings.jobs_configuration.strip() and settings.jobs_configuration_file is not None:
        yield "SlimFaas__JobsConfiguration and SlimFaas__JobsConfigurationFile are both set; give one of them"
    tls: Sequence[Path | None] = (settings.tls_certificate, settings.tls_key, settings.tls_authority)
    if any(tls) and not all(tls):
        yield "SlimData__TlsCertificate, SlimData__TlsKey and SlimData__TlsAuthority go together; give all or none"
    if settings.peers and settings.node_name not in {peer.name for peer in settings.peers}:
        yield f"SlimData__Name: {settings.node_name!r} is none of the names in SlimData__Peers"
    if settings.orchestrator is Orchestrator.PROCESS and len(settings.peers) > 1 and settings.runner is None:
        yield (
            "SlimFaas__Runner: several nodes with Process need a runner that they share; it takes " + kinds.RUNNER.takes
        )
