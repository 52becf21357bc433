"""How a cluster is: every process is asked, the rings are read, and what is wrong is said in sentences."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.config import Config, DeviceConfig, urls
from cluster.config.services import running
from cluster.processes import auxiliaries, gateway_name, proxy_name, storage_name
from cluster.supervision import control
from cluster.telemetry.probe import Health, health, memory_bytes
from storage.overview.ailments import Ailment, is_grave, of_clocks, of_disks, of_replicas
from storage.overview.rings.brief import Brief, brief
from storage.overview.scrubbing import troubles
from storage.overview.surveyed import Surveyed

HEALTHY, DEGRADED, DOWN = "healthy", "degraded", "down"


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it is now."""

    name: str
    state: str  # up, starting, stopping, stopped, dead (being restarted), unreachable or failing
    pid: int | None = None
    since: float | None = None  # of the state, seconds since 1970
    rss_bytes: int | None = None
    deaths: int = 0  # unasked for, since the cluster was started
    last_exit: str = ""
    health: dict[str, Any] = field(default_factory=dict)  # what its /healthz says


@dataclass(frozen=True, slots=True)
class Capacity:
    """Of a device's file system, which others may share; None: it cannot be read."""

    total_bytes: int | None
    used_bytes: int | None
    free_bytes: int | None
    file_system: int | None = None  # devices that show the same share one

    @property
    def used_ratio(self) -> float:
        """The share that we cannot use any more, as a device reckons it; 0.0 when it cannot be read."""
        if not self.total_bytes or self.free_bytes is None:
            return 0.0
        return 1 - self.free_bytes / self.total_bytes


@dataclass(frozen=True, slots=True)
class Processes:
    """All of a cluster."""

    storage: Sequence[Process]
    proxies: Sequence[Process]
    gateways: Sequence[Process] = ()
    services: Sequence[Process] = ()  # of the control plane, and what else data are served without

    def __iter__(self) -> Iterator[Process]:
        """Yield them in the order in which they are told of."""
        yield from (*self.storage, *self.proxies, *self.gateways, *self.services)


def survey(surveyed: Surveyed) -> dict[str, Any]:
    """Return the state of the cluster, as `holdfast status --json` shows it."""
    known = _ask_supervisor(surveyed)
    processes = _ask_processes(surveyed, known["processes"] if known else [])
    devices = dict(zip([device.id for device in surveyed.config.devices], processes.storage, strict=True))
    rings = brief(surveyed, [device_id for device_id, process in devices.items() if process.state != "up"])
    needed = replace(
        processes, storage=[process for device_id, process in devices.items() if rings.needs(device_id)]
    )
    state = judge(needed)
    capacities = {device.id: _capacity(surveyed, device) for device in surveyed.config.devices}
    ailments = _ailments(surveyed.config, processes)
    sentences = [
        describe(state, needed, surveyed),
        *warn_of_full(surveyed.config, capacities),
        *warn_of_damage(processes.storage),
        *rings.sentences(surveyed),
    ]
    return {
        "state": state,
        "sentence": "\n".join([" ".join(sentences), *(ailment.sentence() for ailment in ailments)]),
        "problems": [dataclasses.asdict(each) for each in [*dead(processes, surveyed), *ailments]],
        "data": str(surveyed.layout.directory),
        "endpoints": _endpoints(surveyed.config),
        "supervisor": {"pid": known["pid"], "rss_bytes": memory_bytes(known["pid"])} if known else None,
        "rings": rings.facts(),
        "nodes": _nodes(surveyed, devices, capacities, rings),
        "proxies": [dataclasses.asdict(process) for process in processes.proxies],
        "gateways": [dataclasses.asdict(process) for process in processes.gateways],
        "services": [dataclasses.asdict(process) for process in processes.services],
    }


def _endpoints(config: Config) -> dict[str, str]:
    found = {"s3": urls.s3_url(config), "swift": urls.swift_auth_url(config)}
    if config.block.gateways:
        found["nbd"] = urls.nbd_url(config)
    if config.console.enabled:
        found["console"] = urls.console_url(config)
    return found | {service.name: service.api_url(config) for service in running(config)}


def _ask_supervisor(surveyed: Surveyed) -> dict[str, Any] | None:
    try:
        return control.ask(surveyed.layout.control_socket, "status")
    except control.ControlError:
        return None


def _ask_processes(surveyed: Surveyed, known: Sequence[dict[str, Any]]) -> Processes:
    """Return the processes; each is asked for its health, all at once."""
    config, ports = surveyed.config, surveyed.config.ports
    storage = {
        storage_name(each): (config.storage_admin_listen(each.id), ports.storage_admin_port(each.id))
        for each in config.devices
    }
    proxies = {
        proxy_name(worker): (config.proxy_admin_listen(worker), ports.proxy_admin_port(worker))
        for worker in range(config.worker_count())
    }
    gateways = {
        gateway_name(number): (config.gateway_admin_listen(number), ports.gateway_admin_port(number))
        for number in range(config.block.gateways)
    }
    services = {each.name: (ports.admin_listen, each.admin_port) for each in auxiliaries(config)}
    facts = {process["name"]: process for process in known}

    def ask(name: str, address: tuple[str, int]) -> Process:
        process = facts.get(name, {"state": "stopped"})
        answer = health(*address) if process["state"] == "running" else None
        return assess(name, process, surveyed.layout.ready(name).exists(), answer)

    with ThreadPoolExecutor(max_workers=16) as pool:
        everything = storage | proxies | gateways | services
        asked = {name: pool.submit(ask, name, address) for name, address in everything.items()}
        found = {name: future.result() for name, future in asked.items()}
    return Processes(*([found[name] for name in names] for names in (storage, proxies, gateways, services)))


def assess(name: str, known: dict[str, Any], is_ready: bool, answer: Health | None) -> Process:
    """Return the process, from what the supervisor knows, its ready file and its own answer."""
    state = {"waiting": "dead", "running": "up"}.get(known["state"], known["state"])
    if state == "up" and not is_ready:
        state = "starting"
    elif state == "up" and answer is None:
        state = "unreachable"
    elif state == "up" and answer is not None and not answer.serves:
        state = "failing"
    pid = known.get("pid")
    return Process(
        name=name,
        state=state,
        pid=pid,
        since=known.get("since"),
        rss_bytes=memory_bytes(pid) if pid else None,
        deaths=known.get("deaths", 0),
        last_exit=known.get("last_exit", ""),
        health=answer.details if answer else {},
    )


def judge(processes: Processes) -> str:
    """Return healthy, degraded, or down: no proxy serves (one says so when it reaches no quorum)."""
    if not any(process.state == "up" for process in processes.proxies):
        return DOWN
    whole = all(_is_whole(process, processes) and not is_grave(process.health) for process in processes)
    return HEALTHY if whole else DEGRADED


def _is_whole(process: Process, processes: Processes) -> bool:
    """Tell whether a process serves. Data do not wait for services: they may take a while to start."""
    starts = process in processes.services and process.state == "starting" and not process.deaths
    return process.state == "up" or starts


def describe(state: str, processes: Processes, surveyed: Surveyed) -> str:
    """Return what is wrong, what is being done about it, and what the operator can do."""
    if all(process.state == "stopped" for process in processes):
        return f"The cluster is down: nothing runs. {surveyed.command('up')} starts it."
    if state == HEALTHY:
        kinds = [f"{len(processes.storage)} devices", f"{len(processes.proxies)} proxies"]
        if processes.gateways:
            kinds.append(f"{len(processes.gateways)} block gateway{'s' if len(processes.gateways) > 1 else ''}")
        starting = [f"The {each.name} service is starting." for each in processes.services if each.state != "up"]
        return " ".join([f"The cluster is healthy: all {', '.join(kinds[:-1])} and {kinds[-1]} serve.", *starting])
    troubles = [_trouble(process) for process in processes if process.state != "up"]
    advice = _advice(processes.storage, surveyed)
    summary = "down: no proxy reaches a quorum" if state == DOWN else "degraded, and serves"
    return " ".join([f"The cluster is {summary}.", *troubles, *advice])


def _ailments(config: Config, processes: Processes) -> list[Ailment]:
    """Return what processes say of their disks, clocks and replicas."""
    healths = {process.name: process.health for process in processes}
    devices = {storage_name(device): device for device in config.devices}
    return [
        *of_disks(devices, healths),
        *of_replicas(devices, healths),
        *of_clocks(healths, config.cluster.clock_warn_s),
    ]


def dead(processes: Processes, surveyed: Surveyed) -> Iterator[Ailment]:
    """Yield the processes that do not serve, and do not say themselves why."""
    nodes = {storage_name(device): device.node for device in surveyed.config.devices}
    for process in processes:
        if _is_whole(process, processes) or process.health.get("failure"):
            continue
        node = nodes.get(process.name)
        start = f"start node {node}: {surveyed.command(f'node start {node}')}"
        advice = start if process.state == "stopped" and node is not None else "look at its log"
        yield Ailment(_trouble(process).rstrip("."), advice=advice)


def _trouble(process: Process) -> str:
    explanations = {
        "dead": f"it {process.last_exit} and is being restarted",
        "unreachable": "it runs but does not answer; peers do without it",
        "failing": "see below" if process.health.get("failure") else "it says that it cannot serve",
        "starting": "it is starting",
        "stopping": "it is stopping",
    }
    explanation = explanations.get(process.state)
    return f"{process.name} is {process.state}{f': {explanation}' if explanation else ''}."


def _advice(storage: Sequence[Process], surveyed: Surveyed) -> Iterator[str]:
    states = {process.name: process.state for process in storage}
    stopped = {each.node for each in surveyed.config.devices if states.get(storage_name(each)) == "stopped"}
    for node in sorted(stopped):
        yield f"{surveyed.command(f'node start {node}')} starts node {node}."
    if any(state in ("dead", "failing", "unreachable") for state in states.values()):
        yield f"The logs in {surveyed.layout.logs} tell why."


def warn_of_full(config: Config, capacities: Mapping[int, Capacity]) -> Iterator[str]:
    """Yield a sentence on the devices, by id, whose file systems have little room left, if there are any."""
    storage = config.storage
    used = {device: capacities[device.id].used_ratio for device in config.devices}
    scarce = [
        f"device {device.id} of node {device.node} ({ratio:.0%} used)"
        for device, ratio in used.items()
        if ratio > storage.warn_full_ratio
    ]
    if scarce:
        yield (
            f"There is little room on {', '.join(scarce)}: delete objects, or make room on the file system. "
            f"Above {storage.refuse_full_ratio:.0%} a device refuses writes."
        )


def warn_of_damage(storage: Sequence[Process]) -> Iterator[str]:
    """Yield what scrubbing has to say of devices; the same of several is said once."""
    said: dict[str, list[str]] = {}
    for process in storage:
        for sentence in troubles(process.health["scrub"]) if process.health.get("scrub") else ():
            said.setdefault(sentence, []).append(process.name)
    for sentence, names in said.items():
        yield f"On {', '.join(names)}: {sentence}"


def _nodes(
    surveyed: Surveyed, processes: Mapping[int, Process], capacities: Mapping[int, Capacity], rings: Brief
) -> list[dict[str, Any]]:
    nodes: dict[str, dict[str, Any]] = {}
    for device in surveyed.config.devices:
        node = nodes.setdefault(
            device.node, {"node": device.node, "region": device.region, "zone": device.zone, "devices": []}
        )
        node["devices"].append(
            {
                "id": device.id,
                "directory": str(surveyed.layout.device(device)),
                "capacity": dataclasses.asdict(capacities[device.id]),
                "ring": rings.device_facts(device.id),
                **dataclasses.asdict(processes[device.id]),
            }
        )
    for node in nodes.values():
        states = {device["state"] for device in node["devices"]}
        node["state"] = states.pop() if len(states) == 1 else "degraded"
    return list(nodes.values())


def _capacity(surveyed: Surveyed, device: DeviceConfig) -> Capacity:
    directory = surveyed.layout.device(device)
    try:
        found, file_system = os.statvfs(directory), os.stat(directory).st_dev
    except OSError:
        return Capacity(None, None, None)
    block = found.f_frsize
    used = (found.f_blocks - found.f_bfree) * block
    return Capacity(found.f_blocks * block, used, found.f_bavail * block, file_system)
