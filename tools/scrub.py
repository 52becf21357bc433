"""`holdfast scrub`: how far devices are with reading what they store; a pass at once.

Asks the devices themselves, over the cluster's own wire. A pass goes on when nobody looks; `--now` stays until it is
through and what it found is healed, or cannot be.

Exit code: 0 nothing is amiss, 1 a device cannot be asked, or something is damaged on all its replicas.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster.config import DeviceConfig
from cluster.telemetry.log import configure
from cluster.wire import Peer, PeerUnavailable, RemoteError
from storage.messages import Operation
from storage.overview.scrubbing import troubles
from tools.data_directory import Cluster, add_data_argument, open_cluster
from tools.errors import OperatorError
from tools.progress import Progress

CONNECT_S = 3.0
ASK_S = 5.0
LOOK_S = 0.25  # between two looks at a pass that is being followed
SETTLED_S = 15.0  # after a pass, without anything healed: the rest has to wait for devices that are away
_BAR_WIDTH = 30

State = dict[str, Any]  # what a device says (storage.housekeeping.scrub); {} when it cannot be asked


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("device", nargs="*", type=int, metavar="DEVICE", help="ids of devices (default: all)")
    parser.add_argument("--now", action="store_true", help="begin a pass now, and stay until it is through")
    parser.add_argument("--detach", action="store_true", help="with --now: do not stay")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_data_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    cluster = open_cluster(arguments)
    configure("error", cluster.config.log.format)  # connections come and go: no news to who looks on
    states = asyncio.run(_run(cluster, _chosen(cluster, arguments.device), arguments.now, arguments.detach))
    if arguments.json:
        print(json.dumps({str(device_id): state or None for device_id, state in states.items()}, indent=2))
    else:
        print("\n".join(line for device_id, state in states.items() for line in describe(device_id, state)))
    return 0 if all(state and not state["lost"] and not state["chunks_differ"] for state in states.values()) else 1


def _chosen(cluster: Cluster, wanted: Sequence[int]) -> list[DeviceConfig]:
    known = {device.id: device for device in cluster.config.devices}
    unknown = [device_id for device_id in wanted if device_id not in known]
    if unknown:
        raise OperatorError(f"there is no device {unknown[0]}: `holdfast device list` shows which there are")
    return [known[device_id] for device_id in (wanted or known)]


async def _run(cluster: Cluster, devices: Sequence[DeviceConfig], now: bool, detach: bool) -> dict[int, State]:
    key = cluster.config.cluster.key_bytes
    peers = {
        device.id: Peer(cluster.layout.device_address(cluster.config, device.id), key, name=f"device {device.id}")
        for device in devices
    }
    for peer in peers.values():
        peer.start()
    try:
        states = await _ask(peers, now)
        if now and not detach:
            began = {device_id: state for device_id, state in states.items() if state and not state["paused"]}
            states |= await _follow({device_id: peers[device_id] for device_id in began})
        return states
    finally:
        await asyncio.gather(*(peer.close() for peer in peers.values()))


async def _ask(peers: Mapping[int, Peer], now: bool = False) -> dict[int, State]:
    """Ask all at once; {} stands for the answer of one that gives none."""

    async def ask(peer: Peer) -> State:
        try:
            if not await peer.ready(CONNECT_S):
                return {}
            reply = await peer.call(Operation.SCRUB, (now,), b"", ASK_S)
        except (PeerUnavailable, RemoteError):
            return {}
        (state,) = reply.metadata
        return dict(state)

    answers = await asyncio.gather(*map(ask, peers.values()))
    return dict(zip(peers, answers, strict=True))


async def _follow(peers: Mapping[int, Peer]) -> dict[int, State]:
    """Look on until the passes are through, and what they found is healed or cannot be now."""
    states: dict[int, State] = {device_id: {} for device_id in peers}
    settled_at, waiting = time.monotonic(), -1
    with Progress() as progress:
        while True:
            await asyncio.sleep(LOOK_S)
            states |= await _ask(peers)
            known = [state for state in states.values() if state]
            progress.show(bar(known))
            left = sum(state["quarantined"] + state["databases_damaged"] for state in known)
            running = any(state["requested"] or state["current"] for state in known)
            if running or left != waiting:
                settled_at, waiting = time.monotonic(), left
            if not running and (left == sum(state["lost"] for state in known)):
                return states
            if time.monotonic() - settled_at > SETTLED_S:
                return states


def bar(states: Sequence[State]) -> str:
    """Return one line about passes that are under way."""
    if not states:
        return "no device can be asked"
    share = sum(0.0 if state["requested"] else state["share"] for state in states) / len(states)
    found = sum(_pass_of(state).get("found", 0) for state in states)
    left = sum(state["quarantined"] for state in states)
    filled = int(share * _BAR_WIDTH)
    damage = f"  {found} damaged, {left} to heal" if found or left else ""
    return f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {share:4.0%}{damage}"


def _pass_of(state: State) -> dict[str, Any]:
    return state["current"] or state["last"] or {}


def describe(device_id: int, state: State) -> Iterator[str]:
    """Yield what there is to say of one device."""
    if not state:
        yield f"device {device_id}: cannot be asked"
        return
    yield f"device {device_id}: {_progress(state)}"
    if state["last"]:
        yield f"  last pass: {_outcome(state['last'])}"
    for sentence in troubles(state):
        yield f"  {sentence}"


def _progress(state: State) -> str:
    rate = f"{state['bytes_per_s'] / 2**20:.1f} MiB/s"
    if state["paused"]:
        return "paused: nothing is read that no client asks for (scrub_bytes_per_s = 0)"
    if state["current"] is None:
        return f"between two passes (each begins {state['cycle_s'] / 86400:.1f} days after the one before, at {rate})"
    current = state["current"]
    return (
        f"{state['share']:.0%} of a pass that began {_time(current['started_us'])}, at {rate} at most; "
        f"{current['found']} damaged, {current['healed']} healed"
    )


def _outcome(last: Mapping[str, Any]) -> str:
    took_s = (last["finished_us"] - last["started_us"]) / 1e6
    return (
        f"ended {_time(last['finished_us'])}, {last['read'] / 2**20:.0f} MiB in {took_s:.0f} s, "
        f"{last['found']} damaged, {last['healed']} healed"
    )


def _time(at_us: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_us / 1e6))
