"""What there is to say about a builder and its devices, as text and as facts. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from ring.address import shown
from ring.builder import RingBuilder
from ring.cli.call import Call, Outcome
from ring.cli.table import duration, table
from ring.device import Device
from ring.errors import RingError
from ring.lookup import Ring

_HEADS = (
    "id", "region", "zone", "ip:port", "replication", "name", "weight", "partitions", "balance", "flags", "meta",
)  # fmt: skip
_LEFT = frozenset({"ip:port", "replication", "name", "flags", "meta"})
_DELETED = "DEL"  # goes at the next rebalance


def show(builder: RingBuilder, call: Call) -> Outcome:
    """Show the builder, its ring and its devices."""
    devices = [device for device in builder.devices if device is not None]
    devices.sort(key=lambda device: (device.region, device.zone, device.ip, device.device))
    state = _ring_state(builder, call)
    facts = builder_facts(builder, call.now_s) | {
        "file": call.builder_path,
        "ring": {"file": call.ring_path, "state": state},
        "devices": device_facts(builder, devices),
    }
    parts = [_head(facts), f"{call.ring_path} is {_STATES[state]}.", *_increase(builder)]
    parts.append(device_table(builder, devices) if devices else "There are no devices: add some.")
    return Outcome("\n".join(parts), facts)


def builder_facts(builder: RingBuilder, now_s: float) -> dict[str, Any]:
    """Return the figures of a builder; those that it cannot have yet are None."""
    devices = [device for device in builder.devices if device is not None]
    return {
        "id": builder.id,
        "version": builder.version,
        "part_power": builder.part_power,
        "next_part_power": builder.next_part_power,
        "partitions": builder.partition_count,
        "replicas": builder.replicas,
        "regions": len({device.region for device in devices}),
        "zones": len({(device.region, device.zone) for device in devices}),
        "device_count": len(devices),
        "balance": _balance(builder),
        "dispersion": builder.dispersion,
        "min_part_hours": builder.min_part_hours,
        "seconds_left": round(builder.seconds_left(now_s)),
        "overload": builder.overload,
        "required_overload": _required_overload(builder),
    }


def device_facts(builder: RingBuilder, devices: Iterable[Device]) -> list[dict[str, Any]]:
    """Return the facts of `devices` of `builder`."""
    counts, balances = builder.held_counts(), _balances(builder)
    return [
        {
            "id": device.id,
            "region": device.region,
            "zone": device.zone,
            "ip": device.ip,
            "port": device.port,
            "replication_ip": device.replication_ip or device.ip,
            "replication_port": device.replication_port or device.port,
            "device": device.device,
            "weight": device.weight,
            "partitions": int(counts[device.id]),
            "balance": balances.get(device.id, 0.0),
            "flags": _DELETED if device.id in builder.removed else "",
            "meta": device.meta,
        }
        for device in devices
    ]


def device_table(builder: RingBuilder, devices: Sequence[Device]) -> str:
    """Return a line for each of `devices` of `builder`."""
    return table(_HEADS, map(_row, device_facts(builder, devices)), _LEFT)


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(facts["id"]),
        str(facts["region"]),
        str(facts["zone"]),
        shown(facts["ip"], facts["port"]),
        shown(facts["replication_ip"], facts["replication_port"]),
        facts["device"],
        f"{facts['weight']:.2f}",
        str(facts["partitions"]),
        f"{facts['balance']:.2f}",
        facts["flags"],
        facts["meta"],
    )


def _head(facts: dict[str, Any]) -> str:
    balance = "no balance" if facts["balance"] is None else f"balance {facts['balance']:.2f} %"
    required = facts["required_overload"]
    enough = "" if required is None else f" ({100 * required:.2f} % would disperse best)"
    return (
        f"{facts['partitions']} partitions, {facts['replicas']:g} replicas, {facts['regions']} regions, "
        f"{facts['zones']} zones, {facts['device_count']} devices, {balance}, dispersion {facts['dispersion']:.2f} %, "
        f"min_part_hours {facts['min_part_hours']} ({duration(facts['seconds_left'])} left), "
        f"overload {100 * facts['overload']:.2f} %{enough}\n"
        f"{facts['file']}: version {facts['version']}, id {facts['id']}."
    )


_STATES = {
    "current": "up to date",
    "obsolete": "obsolete: rebalance, or write_ring, writes it anew",
    "missing": "not written yet",
    "unusable": "unusable: write_ring writes it anew",
}


def _ring_state(builder: RingBuilder, call: Call) -> str:
    """Return a key of _STATES."""
    if not call.files.exists(call.ring_path):
        return "missing"
    try:
        ring, _format = call.files.ring(call.ring_path)
    except (RingError, OSError):
        return "unusable"
    return "current" if builder.rows is not None and _is_same(ring, builder.to_ring()) else "obsolete"


def _is_same(ring: Ring, other: Ring) -> bool:
    return (
        (ring.version, ring.part_power, ring.next_part_power, ring.devices)
        == (other.version, other.part_power, other.next_part_power, other.devices)
    ) and ring.replica_rows == other.replica_rows


def _increase(builder: RingBuilder) -> tuple[str, ...]:
    """Return what the operator has to do while the part power is being increased."""
    if builder.next_part_power is None:
        return ()
    if builder.next_part_power == builder.part_power:
        return (
            (
                f"The part power is {builder.part_power} now. Write the ring and give it to all nodes, clean up on all "
                "nodes, then finish_increase_partition_power."
            ),
        )
    return (
        (
            f"The part power is about to grow from {builder.part_power} to {builder.next_part_power}. Relink on all "
            "nodes, then increase_partition_power."
        ),
    )


def _balances(builder: RingBuilder) -> dict[int, float]:
    try:
        return builder.balances()
    except RingError:  # no device has weight
        return {}


def _balance(builder: RingBuilder) -> float | None:
    balances = _balances(builder)
    return max(map(abs, balances.values())) if balances else None


def _required_overload(builder: RingBuilder) -> float | None:
    try:
        return builder.required_overload()
    except RingError:  # there are too few devices
        return None
