"""Composite rings: one ring of several builders' rings, so that each builder's devices get replicas of every partition.

The components have one part power, whole numbers of replicas, and neither a region nor a device in common.
The composite's replicas are theirs, one component's after the other's. That order decides which primary a
device is, so a ring that is composed again must be composed of the same builders in the same order; the
state of a composite, kept beside its ring, is what says so. docs/composite-rings.md is the page of its file,
which is that of OpenStack Swift (swift/common/ring/composite_builder.py), as are the rules.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from ring.builder import RingBuilder
from ring.device import Device
from ring.errors import DamagedFile, RingError, UnknownFormat
from ring.lookup import Ring

FORMAT_VERSION = 1
_WIDE_FROM = 1 << 16  # device ids from here on take uint32


@dataclass(frozen=True, slots=True)
class Component:
    """A builder, as it was when its ring went into the composite."""

    id: str
    version: int
    replicas: int
    path: str = ""  # of its file; empty: the caller knows


@dataclass(frozen=True, slots=True)
class CompositeState:
    """What a composite ring was made of."""

    version: int  # grows each time it is composed
    components: tuple[Component, ...]  # in the order of their replicas


def compose(
    builders: Sequence[RingBuilder],
    earlier: CompositeState | None = None,
    paths: Sequence[str] = (),
    *,
    force: bool = False,
    require_change: bool = False,
) -> tuple[Ring, CompositeState]:
    """Return the composite ring of `builders` and its state. Raise RingError when they do not go together.

    They are checked against `earlier`, unless by `force`, and with `require_change` one of them at least must
    be newer than it was then. `paths`: of the builders' files, to be noted.
    """
    components = _components(builders, paths)
    if earlier is not None and not force:
        is_newer = _is_newer(earlier, components)
        if require_change and not is_newer:
            raise RingError("none of the builders has changed since the ring was composed")
    _refuse([*_misfits(builders), *_overlaps(builders)])
    state = CompositeState(earlier.version + 1 if earlier else 1, components)
    return _joined(builders, state.version), state


def check_again(state: CompositeState, builders: Sequence[RingBuilder]) -> bool:
    """Tell whether any of `builders` has changed since `state`. Raise RingError when they are others, or older."""
    return _is_newer(state, _components(builders, ()))


def _components(builders: Sequence[RingBuilder], paths: Sequence[str]) -> tuple[Component, ...]:
    if len(builders) < 2:
        raise RingError("a composite ring needs two builders or more")
    assert len(paths) in (0, len(builders)), "each builder has its path"
    ids = [builder.id for builder in builders]
    missing = [f"builder {number} has no id, save it first" for number, each in enumerate(ids, 1) if not each]
    repeated = [
        f"builders {first + 1} and {second + 1} are the same"
        for first, second in combinations(range(len(ids)), 2)
        if ids[first] and ids[first] == ids[second]
    ]
    _refuse([*missing, *repeated])
    return tuple(
        Component(builder.id, builder.version, round(builder.replicas), path)
        for builder, path in zip(builders, paths or [""] * len(builders), strict=True)
    )


def _is_newer(earlier: CompositeState, components: Sequence[Component]) -> bool:
    """Tell whether any of `components` is newer than in `earlier`. Raise RingError when they are others, or older."""
    if len(earlier.components) != len(components):
        raise RingError(f"the ring was composed of {len(earlier.components)} builders, not of {len(components)}")
    pairs = list(enumerate(zip(earlier.components, components, strict=True), 1))
    _refuse([f"builder {number} {why}" for number, (old, new) in pairs if (why := _difference(old, new))])
    return any(old.version < new.version for _number, (old, new) in pairs)


def _difference(old: Component, new: Component) -> str:
    if old.id != new.id:
        return f"is {new.id}, and it was {old.id}"
    if old.replicas != new.replicas:
        return f"has {new.replicas} replicas, and it had {old.replicas}"
    if new.version < old.version:
        return f"is of version {new.version}, and version {old.version} was used already"
    return ""


def _misfits(builders: Sequence[RingBuilder]) -> Iterator[str]:
    """Yield what keeps builders from being components."""
    powers = {(builder.part_power, builder.next_part_power) for builder in builders}
    if len({power for power, _next in powers}) > 1:
        yield f"the part powers differ: {', '.join(str(builder.part_power) for builder in builders)}"
    elif len(powers) > 1:
        yield "only some of the builders increase their part power"
    for number, builder in enumerate(builders, 1):
        if builder.replicas != int(builder.replicas):
            yield f"builder {number} has {builder.replicas:g} replicas, which is no whole number"
        elif builder.rows is None or builder.devices_changed:
            yield f"builder {number} must be rebalanced first"


def _overlaps(builders: Sequence[RingBuilder]) -> Iterator[str]:
    """Yield which builders have regions or devices in common."""
    for (first, one), (second, other) in combinations(enumerate(builders, 1), 2):
        if regions := _regions(one) & _regions(other):
            yield f"region {min(regions)} is in builder {first} and in builder {second}"
        if addresses := _addresses(one) & _addresses(other):
            ip, port, device = min(addresses)
            yield f"the device {ip}:{port}/{device} is in builder {first} and in builder {second}"


def _devices(builder: RingBuilder) -> Iterator[Device]:
    return (device for device in builder.devices if device is not None)


def _regions(builder: RingBuilder) -> set[int]:
    return {device.region for device in _devices(builder)}


def _addresses(builder: RingBuilder) -> set[tuple[str, int, str]]:
    return {(device.ip, device.port, device.device) for device in _devices(builder)}


def _refuse(reasons: Sequence[str]) -> None:
    if reasons:
        raise RingError("; ".join(reasons))


def _joined(builders: Sequence[RingBuilder], version: int) -> Ring:
    """Return the ring in which each builder's devices come after those of the builders before it."""
    devices: list[Device | None] = []
    rows: list[memoryview[int]] = []
    wide = sum(len(builder.devices) for builder in builders) >= _WIDE_FROM
    for builder in builders:
        first = len(devices)
        for row in builder.rows or ():
            moved = (row + first).astype(np.uint32 if wide else np.uint16)
            rows.append(memoryview(moved.tobytes()).cast("I" if wide else "H"))
        devices += [device and replace(device, id=first + device.id) for device in builder.devices]
    return Ring(builders[0].part_power, tuple(devices), tuple(rows), version, builders[0].next_part_power)


def dump(state: CompositeState, path: str = "") -> str:
    """Return the file that holds `state`; `path` is where it will be."""
    components = [{"id": each.id, "version": each.version, "replicas": each.replicas} for each in state.components]
    fields = {
        "serialization_version": FORMAT_VERSION,
        "version": state.version,
        "components": components,
        "component_builder_files": {each.id: each.path for each in state.components},
        "saved_path": path,
    }
    return json.dumps(fields, indent=4) + "\n"


def load(text: str | bytes) -> CompositeState:
    """Return the state in a file. Raise DamagedFile or UnknownFormat."""
    try:
        fields = json.loads(text)
        format_version = fields.get("serialization_version", FORMAT_VERSION)
        if format_version != FORMAT_VERSION:
            raise UnknownFormat(f"its format is {format_version!r}, and this release knows {FORMAT_VERSION}")
        paths = fields["component_builder_files"]
        components = tuple(_component(component, paths) for component in fields["components"])
        return CompositeState(_whole(fields["version"]), components)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DamagedFile(f"it describes no composite ring: {error}") from error


def _component(fields: Any, paths: Any) -> Component:
    component_id = fields["id"]
    if not isinstance(component_id, str):
        raise TypeError(f"an id is text, not {component_id!r}")
    return Component(component_id, _whole(fields["version"]), _whole(fields["replicas"]), str(paths[component_id]))


def _whole(value: Any) -> int:
    if not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"{value!r} is no whole number")
    return int(value)
