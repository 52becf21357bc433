"""`holdfast device list`: the devices of the configuration and of the rings, side by side."""

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import Any

from storage.membership.record import State
from storage.membership.store import read_all
from storage.overview.rings import survey
from storage.overview.words import bytes_shown
from tools.data_directory import Cluster
from tools.rings.session import Session


def show(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Print the devices."""
    with Session(cluster) as session:
        devices = facts(session)
    print(json.dumps(devices, indent=2) if arguments.json else "\n".join(lines(devices)))
    return 0


def facts(session: Session) -> list[dict[str, Any]]:
    """Return what there is to know of each device."""
    shares = survey.shares(session.store, session.store.document())
    configured = {device.id: device for device in session.devices.config.devices}
    health = session.devices.health()
    members = read_all(session.coordination)
    found = []
    for device_id in sorted(configured.keys() | shares.keys()):
        share, device, answer = shares.get(device_id), configured.get(device_id), health.get(device_id)
        member = members.get(device_id)
        found.append(
            {
                "id": device_id,
                "node": device.node if device else None,
                "region": device.region if device else None,
                "zone": device.zone if device else None,
                "directory": str(session.cluster.layout.device(device)) if device else None,
                "role": survey.role(share, device is not None).value,
                "weight": share.weight if share else None,
                "wanted_ratio": round(share.wanted_ratio, 6) if share else 0.0,
                "held_ratio": round(share.held_ratio, 6) if share else 0.0,
                "coming_ratio": round(share.coming_ratio, 6) if share else 0.0,
                "serves": answer is not None and answer.serves,
                "live_bytes": answer.details.get("live_bytes") if answer else None,
                "data": member.state.value if member else None,
                "lost": member.reason if member and not member.votes else "",
                "membership": answer.details.get("membership") if answer else None,
                "standing_in": answer.details.get("standing_in") if answer else None,
            }
        )
    return found


def lines(devices: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the list for people."""
    yield f"{'id':>4} {'node':<8} {'region':>6} {'zone':>4} {'weight':>8} {'share':>7} {'holds':>7} {'bytes':>9}  state"
    for device in devices:
        weight = "" if device["weight"] is None else f"{device['weight']:g}"
        held = "" if device["live_bytes"] is None else bytes_shown(device["live_bytes"])
        state = ", ".join([device["role"], *([] if device["serves"] else ["down"]), *_marks(device)])
        place = f"{device['node'] or '-':<8} {device['region'] or '-':>6} {device['zone'] or '-':>4}"
        ratios = f"{device['wanted_ratio']:>7.1%} {device['held_ratio']:>7.1%}"
        yield f"{device['id']:>4} {place} {weight:>8} {ratios} {held:>9}  {state}"
    for device in devices:
        advice = _ADVICE.get(device["role"])
        if advice:
            yield f"Device {device['id']} is {advice.format(id=device['id'])}."
        yield from _sentences(device)


def _marks(device: dict[str, Any]) -> Iterator[str]:
    """Yield what the state of a device says besides."""
    membership, standing_in = device["membership"] or {}, device["standing_in"]
    if device["data"] == State.REBUILDING.value:
        total = membership.get("partitions_total", 0)
        yield f"rebuilding {membership['partitions_done'] / total:.0%}" if total else "rebuilding"
    if standing_in:
        yield f"standing in for {', '.join(map(str, standing_in['for']))}"


def _sentences(device: dict[str, Any]) -> Iterator[str]:
    """Yield what is to be told about the data of a device."""
    membership = device["membership"] or {}
    if device["data"] == State.REBUILDING.value:
        left = membership.get("eta_s")
        pace = f", about {left:.0f} s to go" if left is not None else ""
        waiting = f"; {membership['waiting']}" if membership.get("waiting") else pace
        down = "" if device["serves"] else "; it is down"
        yield f"Device {device['id']} is being rebuilt, and others answer reads: {device['lost']}{waiting}{down}."


_ADVICE = {
    survey.Role.UNUSED.value: "in no ring: `holdfast device set-weight {id} 1` takes it into use, "
    "`holdfast device remove {id}` takes it away",
    survey.Role.MISSING.value: "in the rings and not in the configuration: put its table back into cluster.toml, "
    "or `holdfast device remove {id}` rebuilds elsewhere what it held",
    survey.Role.DRAINED.value: "drained: `holdfast device remove {id}` takes it away",
}
