"""Every fault that the simulation has, one row each: its name, how often it comes beside the others, and where.

To add one, write a function that does it to a `Simulation` (and lets it end by `simulation.later`), and give it a row.
What does nothing because there is nothing to harm says nothing, and is not counted.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from slimjobs.core.machine.inputs import ConfigurationRefused
from slimjobs.core.orchestrators.ports import Outcome, Phase, Rejected, Unavailable
from slimjobs.eventlog.events.definitions import Definition
from slimjobs.eventlog.events.runs import job_object_name
from slimjobs.eventlog.storage.segments import segment_names
from slimjobs.eventlog.storage.snapshots import snapshot_indices, snapshot_name
from tests.core.machine import chaos, disk_chaos
from tests.core.machine.network import FAIR
from tests.core.machine.timeline import MILLISECOND
from tests.core.machine.world import definition
from tests.simulation.cron_jobs import NAMES as CRON_JOBS
from tests.simulation.worlds import DEPENDENCIES, SCALING

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

SECTOR: Final = 512


class Disks(enum.Enum):
    """On which disks a fault can happen."""

    ANY = enum.auto()
    IN_MEMORY = enum.auto()
    STORED = enum.auto()


class Fault(msgspec.Struct, frozen=True):
    """A row of the table."""

    name: str
    inject: Callable[[Simulation], None]
    rate: float
    disks: Disks = Disks.ANY


# Network ------------------------------------------------------------------------------------------------------------


def worsen(simulation: Simulation, **weather: object) -> None:
    """Let the weather be so for a while."""
    network = simulation.world.network
    network.weather = msgspec.structs.replace(network.weather, **weather)
    simulation.world.say("weather:", network.weather)
    fair = {name: getattr(FAIR, name) for name in weather}
    simulation.later((500, 20_000), partial(mend, simulation, fair))


def mend(simulation: Simulation, fair: dict[str, object]) -> None:
    network = simulation.world.network
    network.weather = msgspec.structs.replace(network.weather, **fair)


def lose_letters(simulation: Simulation) -> None:
    worsen(simulation, lost=simulation.random.choice([0.02, 0.2, 0.5]))


def double_letters(simulation: Simulation) -> None:
    worsen(simulation, doubled=simulation.random.choice([0.1, 0.5]))


def delay_letters(simulation: Simulation) -> None:
    longest_ms = simulation.random.choice([20, 200, 1000])
    late = simulation.random.choice([0.0, 0.01])
    worsen(simulation, latency_ns=(50_000, longest_ms * MILLISECOND), late=late)


def reorder_letters(simulation: Simulation) -> None:
    worsen(simulation, in_order=False, latency_ns=(50_000, 20 * MILLISECOND))


def cut_one_way(simulation: Simulation) -> None:
    """What one says does not reach another; the other is heard."""
    if len(simulation.names) > 1:
        near, far = simulation.random.sample(simulation.names, 2)
        simulation.world.network.sever(near, far)
        simulation.world.say("cut:", near, "->", far)
        simulation.later((100, 15_000), simulation.world.network.heal)


def partition(simulation: Simulation) -> None:
    """The cluster falls into two parts."""
    if len(simulation.names) > 1:
        shuffled = simulation.random.sample(simulation.names, len(simulation.names))
        size = simulation.random.randint(1, len(shuffled) - 1)
        simulation.world.network.split(set(shuffled[:size]), set(shuffled[size:]))
        simulation.world.say("cut:", *shuffled[:size], "|", *shuffled[size:])
        simulation.later((100, 20_000), simulation.world.network.heal)


# Processes and clocks -----------------------------------------------------------------------------------------------


def crash_all(simulation: Simulation) -> None:
    """The power goes everywhere."""
    for host in simulation.world.hosts.values():
        if host.process is not None:
            simulation.world.crash(host.name, simulation.random.randrange(4), simulation.random.randrange(6))
            simulation.later((10, 4000), partial(simulation.boot, host.name))


def upgrade(simulation: Simulation) -> None:
    """One node after the other is restarted as another version, which may know more events and other definitions."""
    simulation.version += 1
    level = simulation.random.choice([0, 0, 1])
    for number, name in enumerate(simulation.names):
        delay_ms = 4000 * number
        simulation.later((delay_ms + 1, delay_ms + 2000), partial(upgrade_one, simulation, name, level))
    simulation.world.say("all are upgraded to version", simulation.version)


def upgrade_one(simulation: Simulation, name: str, more_levels: int) -> None:
    host = simulation.world.hosts[name]
    known = host.settings.event_level
    host.settings = msgspec.structs.replace(
        host.settings, version=str(simulation.version), event_level=known + more_levels
    )
    if host.process is not None:
        chaos.end(simulation, host, host.life)
    elif host.said_it_is_too_old:
        simulation.later((10, 3000), partial(simulation.boot, name))
    if simulation.random.random() < 0.3:
        reload(simulation)


def drift(simulation: Simulation) -> None:
    """A clock goes too fast or too slowly from now on."""
    host = simulation.world.hosts[simulation.random.choice(simulation.names)]
    ppm = simulation.random.choice([0, 500, -500, 20_000, -20_000])
    host.clock.drift(ppm, simulation.world.timeline.now_ns)
    simulation.world.say("the clock of", host.name, "goes", ppm, "ppm too fast")


# Disks --------------------------------------------------------------------------------------------------------------


def misdirect(simulation: Simulation) -> None:
    """A sector of a node that does not run holds what was meant for another place, or nothing at all."""
    if not simulation.whole or (host := simulation.any_live()) is None:
        return
    disk_chaos.stored(simulation).stop(host.name)
    files = disk_chaos.disk(simulation, host).files
    names = [*segment_names(files), *(snapshot_name(index) for index in snapshot_indices(files))]
    contents = {name: files.contents(name) for name in names}
    sectors = [(name, at) for name in names for at in range(0, len(contents[name].rstrip(b"\0")), SECTOR)]
    if sectors:
        (name, at), (other, from_) = simulation.random.choice(sectors), simulation.random.choice(sectors)
        wrong = simulation.random.choice([contents[other][from_ : from_ + SECTOR], bytes(SECTOR)])
        content = contents[name][:at] + wrong + contents[name][at + len(wrong) :]
        rotten = files.copy()
        rotten.replace(name, content[: len(contents[name])])
        if not disk_chaos.passes_for_torn(files.copy(), rotten):
            simulation.world.say("of", host.name, "a sector of", name, "at", at, "is not what was written")
            files.replace(name, content[: len(contents[name])])
    simulation.later((10, 3000), partial(simulation.boot, host.name))


# The orchestrator's requests ----------------------------------------------------------------------------------------


def refuse(simulation: Simulation, *refusals: Outcome) -> None:
    """Answer a share of the requests so, for a while."""
    world = simulation.world
    world.effects_refused, world.refusals = simulation.random.choice([0.1, 0.5, 1.0]), refusals
    world.say("the orchestrator answers", *refusals, "to", world.effects_refused)
    simulation.later((1000, 30_000), partial(setattr, world, "effects_refused", 0.0))


def quota(simulation: Simulation) -> None:
    refuse(simulation, Unavailable("403"))


def throttle(simulation: Simulation) -> None:
    refuse(simulation, Unavailable("429"))


def err(simulation: Simulation) -> None:
    refuse(simulation, Unavailable("500"), Unavailable("409"))


def reject(simulation: Simulation) -> None:
    """An admission webhook takes nothing, or the API server finds it malformed."""
    refuse(simulation, Rejected("400"), Rejected("422"))


def api_down(simulation: Simulation) -> None:
    """No request is answered and no watch goes on."""
    world = simulation.world
    refuse(simulation, Unavailable("nothing"))
    world.effects_refused = 1.0
    for name in simulation.names:
        simulation.server.silent.add(name)
        world.lose_watch(name)
    simulation.later((1000, 40_000), partial(api_up, simulation))


def api_up(simulation: Simulation) -> None:
    simulation.world.effects_refused = 0.0
    simulation.server.silent.clear()
    simulation.world.orchestrator_changed()


def api_slow(simulation: Simulation) -> None:
    world = simulation.world
    slowest_ms = simulation.random.choice([300, 3000, 15_000])
    world.effect_delay_ns = (MILLISECOND, slowest_ms * MILLISECOND)
    world.say("the orchestrator is slow, up to", slowest_ms, "ms")
    simulation.later((1000, 30_000), partial(setattr, world, "effect_delay_ns", (MILLISECOND, 20 * MILLISECOND)))


def lose_answers(simulation: Simulation) -> None:
    """What was asked for is done, and nobody is told."""
    simulation.world.effects_lost = simulation.random.choice([0.2, 1.0])
    simulation.world.say("answers of the orchestrator are lost:", simulation.world.effects_lost)
    simulation.later((500, 20_000), partial(setattr, simulation.world, "effects_lost", 0.0))


def delay_requests(simulation: Simulation) -> None:
    simulation.world.effects_late = simulation.random.choice([0.1, 0.5])
    simulation.world.say("requests are late:", simulation.world.effects_late)
    simulation.later((500, 20_000), partial(setattr, simulation.world, "effects_late", 0.0))


def hold_requests(simulation: Simulation) -> None:
    """Requests arrive minutes later, in any order, whoever leads then and whatever was deleted."""
    world = simulation.world
    world.holds = simulation.random.choice([0.1, 0.5])
    world.say("requests are held back:", world.holds)
    simulation.later((500, 10_000), partial(setattr, world, "holds", 0.0))
    simulation.later((10_000, 200_000), world.release_held)


# Watches and objects ------------------------------------------------------------------------------------------------


def end_watch(simulation: Simulation) -> None:
    """A watch ends (410, or the connection), and a list follows."""
    name = simulation.random.choice(simulation.names)
    if name in simulation.server.watches:
        simulation.world.say("the watch of", name, "ends")
        simulation.world.lose_watch(name)


def stall_watch(simulation: Simulation) -> None:
    """A watch tells nothing for a while."""
    name = simulation.random.choice(simulation.names)
    simulation.world.say("the watch of", name, "stalls")
    simulation.server.silent.add(name)
    simulation.later((1000, 30_000), partial(unstall_watch, simulation, name))


def unstall_watch(simulation: Simulation, name: str) -> None:
    simulation.server.silent.discard(name)
    simulation.world.orchestrator_changed()


def skip_versions(simulation: Simulation) -> None:
    """Watches stall, and go on with the last of every object."""
    for name in simulation.names:
        if name in simulation.server.watches:
            simulation.world.say("the watch of", name, "skips versions")
            simulation.server.silent.add(name)
            simulation.later((500, 10_000), partial(go_on_later, simulation, name))


def go_on_later(simulation: Simulation, name: str) -> None:
    missed = simulation.server.skip(name)
    simulation.world.harm["versions that a watch skipped"] += missed
    unstall_watch(simulation, name)


def delete_job(simulation: Simulation) -> None:
    """Somebody deletes a Job by hand."""
    if own := simulation.own_objects():
        name = simulation.random.choice(own)
        simulation.world.say(name, "is deleted by hand")
        simulation.server.delete_by_hand(name)
        simulation.world.orchestrator_changed()


def vanish_job(simulation: Simulation) -> None:
    """A Job and all that ran of it are gone at once."""
    if own := simulation.own_objects():
        name = simulation.random.choice(own)
        simulation.world.say(name, "vanishes")
        simulation.world.vanish(name)


def take_names(simulation: Simulation) -> None:
    """Another cluster has Jobs of the same names, before ours or in place of ours."""
    state = simulation.world.chronicle.state
    runs = [*state.queued, *state.active]
    for run in simulation.random.sample(runs, min(2, len(runs))):
        job = simulation.world.chronicle.onlooker.enqueued[run].job
        if simulation.server.take_name(job_object_name(job, run), run):
            simulation.world.say("another cluster takes the name of", run.hex())
    simulation.world.orchestrator_changed()
    simulation.later((5000, 60_000), partial(strangers_leave, simulation))


def strangers_leave(simulation: Simulation) -> None:
    simulation.server.strangers_leave()
    simulation.world.orchestrator_changed()


def hang(simulation: Simulation) -> None:
    """Pods do not come to their end for a while."""
    under_way = [name for name in simulation.own_objects() if simulation.server.objects[name].phase is Phase.RUNNING]
    if under_way:
        name = simulation.random.choice(under_way)
        simulation.world.say(name, "hangs")
        simulation.server.hanging.add(name)
        simulation.later((5000, 60_000), partial(let_go, simulation, name))


def let_go(simulation: Simulation, name: str) -> None:
    simulation.server.hanging.discard(name)
    simulation.world.orchestrator_changed()


def trouble_pods(simulation: Simulation) -> None:
    """Attempts fail and are followed by others, or are lost with their nodes; images cannot be pulled."""
    server, random = simulation.server, simulation.random
    server.retries, server.lost_pods, server.image_trouble = (random.choice([0.0, 0.3, 0.7]) for _ in range(3))
    simulation.world.say("pods fail:", server.retries, "are lost:", server.lost_pods, "no image:", server.image_trouble)
    simulation.later((1000, 30_000), partial(untrouble_pods, simulation))


def untrouble_pods(simulation: Simulation) -> None:
    simulation.server.retries = simulation.server.lost_pods = simulation.server.image_trouble = 0.0


# Surroundings and callers -------------------------------------------------------------------------------------------


def flap(simulation: Simulation) -> None:
    """What runs depend on is not ready for a while."""
    services, name = simulation.world.surroundings, simulation.random.choice(DEPENDENCIES)
    if name in services.services and services.services[name].ready:
        simulation.world.say(name, "is not ready")
        services.change(name, ready=False, reason="no endpoint is ready")
        simulation.world.surroundings_changed()
        simulation.later((100, 30_000), partial(mend_service, simulation, name))


def mend_service(simulation: Simulation, name: str) -> None:
    """A service that is awake is ready; one that somebody removed is there again."""
    services = simulation.world.surroundings
    if name not in services.services:
        simulation.world.say(name, "is there again")
        services.put(name, scaling=SCALING if name == DEPENDENCIES[1] else None)
    elif (service := services.services[name]).replicas and not service.ready:
        simulation.world.say(name, "is ready again")
        services.change(name, ready=True, reason="")
    simulation.world.surroundings_changed()


def remove_service(simulation: Simulation) -> None:
    """Somebody removes what runs depend on, and puts it there again later."""
    services, name = simulation.world.surroundings, simulation.random.choice(DEPENDENCIES)
    if name in services.services:
        simulation.world.say(name, "is removed")
        services.vanish(name)
        simulation.world.surroundings_changed()
        simulation.later((100, 60_000), partial(mend_service, simulation, name))


def scale_by_hand(simulation: Simulation) -> None:
    """Somebody else scales what sleeps and wakes: an autoscaler, or a person."""
    services, name = simulation.world.surroundings, DEPENDENCIES[1]
    if name in services.services:
        replicas = simulation.random.randint(0, 3)
        simulation.world.say(name, "is scaled by hand to", replicas)
        services.change(name, replicas=replicas, ready=False, reason="scaled by hand")
        simulation.world.surroundings_changed()


def change_cron_job(simulation: Simulation) -> None:
    """Somebody applies an annotated CronJob, changes, breaks or removes it."""
    random, cron_jobs = simulation.random, simulation.cron_jobs
    name, roll = random.choice(CRON_JOBS), random.random()
    if roll < 0.2:
        cron_jobs.remove(name)
        simulation.world.say("the CronJob", name, "is removed")
    elif roll < 0.4:
        cron_jobs.spoil(name)
        simulation.world.say("the CronJob", name, "is broken")
    else:
        depends_on = random.choice([(), (), DEPENDENCIES[:1], DEPENDENCIES])
        applied = cron_jobs.apply(random, name, depends_on, scheduled=simulation.has_schedules)
        simulation.world.orchestrator.allow(name, applied.number_parallel_job)
        simulation.world.say("the CronJob", name, "is applied with a cap of", applied.number_parallel_job)
    simulation.world.surroundings_changed()


def lose_sight_of_cron_jobs(simulation: Simulation) -> None:
    """What a node watches of CronJobs breaks, or its right to see them is taken away for a moment."""
    name = simulation.random.choice(simulation.names)
    if name in simulation.world.surroundings.sights:
        simulation.world.say(name, "loses sight of CronJobs")
        simulation.world.surroundings.lose_sight_of_declarations(name)
        simulation.world.surroundings_changed()


def lose_sight(simulation: Simulation) -> None:
    """What a node watches of its surroundings breaks."""
    name = simulation.random.choice(simulation.names)
    if name in simulation.world.surroundings.sights:
        simulation.world.say(name, "loses sight of services")
        simulation.world.surroundings.lose_sight_of(name)
        simulation.world.surroundings_changed()


def reload(simulation: Simulation) -> None:
    """The configuration is read again: other caps, limits and dependencies."""
    random = simulation.random
    definitions: dict[str, Definition] = {
        name: msgspec.structs.replace(
            definition(cap=random.randint(1, 4)),
            max_queued_jobs=random.choice([None, None, 5, 50]),
            depends_on=random.choice([(), (), DEPENDENCIES[:1], DEPENDENCIES]),
        )
        for name in simulation.definitions
    }
    caps = {name: each.number_parallel_job for name, each in definitions.items()}
    simulation.world.say("the configuration is read again:", caps)
    simulation.world.reload(definitions)


def spoil_configuration(simulation: Simulation) -> None:
    """The configuration cannot be read any more; what is in force stays."""
    for name in simulation.names:
        simulation.world.tell(name, ConfigurationRefused(("it is not YAML",)))
        simulation.later((1000, 20_000), partial(simulation.world.tell, name, ConfigurationRefused(())))
    simulation.world.say("the configuration cannot be read")


def repeat_calls(simulation: Simulation) -> None:
    """An impatient caller asks everywhere at once, with the same key or with none."""
    trigger = simulation.repeated_trigger()
    if trigger is not None:
        for host in simulation.world.live:
            simulation.world.call(host.name, simulation.again(trigger))


def abandon_calls(simulation: Simulation) -> None:
    """Whoever waits goes away."""
    for token in list(simulation.world.promises.waiting):
        if simulation.random.random() < 0.5 and not simulation.is_configuration(token):
            simulation.world.abandon(token)


def storm(simulation: Simulation) -> None:
    """Many come at once."""
    simulation.world.say("a storm of callers")
    for number in range(simulation.random.choice([10, 40])):
        simulation.world.timeline.after(number * 5 * MILLISECOND, simulation.call_once)


TABLE: Final = (
    Fault("crash", chaos.crash, 4, Disks.IN_MEMORY),
    Fault("crash-all", crash_all, 1, Disks.IN_MEMORY),
    Fault("wipe", chaos.wipe, 1),
    Fault("pause", chaos.stand_still, 2),
    Fault("restart", chaos.restart_politely, 2),
    Fault("upgrade", upgrade, 0.5),
    Fault("transfer", chaos.transfer, 2),
    Fault("remove", chaos.remove, 0.5, Disks.IN_MEMORY),
    Fault("return-removed", chaos.return_removed, 2, Disks.IN_MEMORY),
    Fault("clock-step", chaos.clock, 1),
    Fault("clock-drift", drift, 1),
    Fault("lose-letters", lose_letters, 2),
    Fault("double-letters", double_letters, 1),
    Fault("delay-letters", delay_letters, 2),
    Fault("reorder-letters", reorder_letters, 1),
    Fault("cut", chaos.cut, 2),
    Fault("cut-one-way", cut_one_way, 2),
    Fault("partition", partition, 2),
    Fault("slow-disk", chaos.slow_disk, 2, Disks.IN_MEMORY),
    Fault("full-disk", chaos.full_disk, 1, Disks.IN_MEMORY),
    Fault("power-loss", disk_chaos.power_loss, 4, Disks.STORED),
    Fault("power-loss-of-all", disk_chaos.power_loss_of_all, 1, Disks.STORED),
    Fault("kill", disk_chaos.kill, 3, Disks.STORED),
    Fault("failed-sync", disk_chaos.fail_sync, 2, Disks.STORED),
    Fault("stalled-disk", disk_chaos.stall, 3, Disks.STORED),
    Fault("no-space", disk_chaos.full_disk, 2, Disks.STORED),
    Fault("rot", disk_chaos.rot, 2, Disks.STORED),
    Fault("misdirected-write", misdirect, 2, Disks.STORED),
    Fault("api-down", api_down, 2),
    Fault("api-slow", api_slow, 2),
    Fault("api-403", quota, 1),
    Fault("api-429", throttle, 1),
    Fault("api-500", err, 1),
    Fault("api-422", reject, 0.5),
    Fault("lost-answers", lose_answers, 2),
    Fault("late-requests", delay_requests, 2),
    Fault("held-requests", hold_requests, 3),
    Fault("watch-ends", end_watch, 2),
    Fault("watch-stalls", stall_watch, 2),
    Fault("watch-skips", skip_versions, 2),
    Fault("job-deleted", delete_job, 2),
    Fault("job-vanishes", vanish_job, 2),
    Fault("names-taken", take_names, 1),
    Fault("pods-hang", hang, 1),
    Fault("pods-fail", trouble_pods, 2),
    Fault("dependency-flaps", flap, 2),
    Fault("dependency-removed", remove_service, 0.5),
    Fault("dependency-scaled-by-hand", scale_by_hand, 1),
    Fault("sight-of-services-lost", lose_sight, 1),
    Fault("cron-jobs-change", change_cron_job, 2),
    Fault("sight-of-cron-jobs-lost", lose_sight_of_cron_jobs, 1),
    Fault("reload", reload, 1),
    Fault("configuration-spoiled", spoil_configuration, 0.5),
    Fault("repeated-calls", repeat_calls, 3),
    Fault("abandoned-calls", abandon_calls, 2),
    Fault("storm", storm, 1),
)

NAMES: Final = tuple(fault.name for fault in TABLE)
