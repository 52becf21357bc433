"""The `ring-builder` command: swift-ring-builder's arguments and exit codes, over `ring.builder`.

`ring-builder FILE COMMAND [ARGUMENT …] [--json]`. Every command is a function from the builder and its
arguments to an outcome; only `main` reads and writes files, and nothing is written unless the command
went well.
"""

import argparse
import dataclasses
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ring import builder_file, file
from ring.builder import RingBuilder
from ring.device import Device, parse_location
from ring.errors import RingError

EXIT_SUCCESS = 0
EXIT_WARNING = 1  # nothing had to be done
EXIT_ERROR = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a command: what to save and what to say."""

    text: str
    facts: dict[str, Any] = field(default_factory=dict)  # the same for programs
    builder: RingBuilder | None = None  # None: the builder stays as it is
    publish: bool = False  # write the ring file too
    exit_code: int = EXIT_SUCCESS


def create(arguments: argparse.Namespace) -> Outcome:
    """Make a builder without devices."""
    builder = RingBuilder.create(arguments.part_power, arguments.replicas, arguments.min_part_hours)
    return Outcome(f"Created: {builder.partition_count} partitions, {builder.replicas:g} replicas.", builder=builder)


def add(builder: RingBuilder, arguments: argparse.Namespace) -> Outcome:
    """Add devices."""
    places = arguments.devices
    if len(places) % 2:
        raise RingError("each device needs a weight: r1z1-127.0.0.1:6200/sdb1 100")
    added = []
    for place, weight in zip(places[::2], places[1::2], strict=True):
        device = parse_location(place, builder.free_id(), _weight(weight))
        builder = builder.add(device)
        added.append(device)
    text = "\n".join(f"Device {device.id} is {device.location} with weight {device.weight:g}." for device in added)
    return Outcome(text, {"added": [device.id for device in added]}, builder)


def set_weight(builder: RingBuilder, arguments: argparse.Namespace) -> Outcome:
    """Change the weight of a device."""
    device = find(builder, arguments.device)
    builder = builder.set_weight(device.id, _weight(arguments.weight))
    return Outcome(f"Device {device.id} has weight {arguments.weight} after the next rebalance.", builder=builder)


def remove(builder: RingBuilder, arguments: argparse.Namespace) -> Outcome:
    """Take a device out."""
    device = find(builder, arguments.device)
    return Outcome(f"Device {device.id} is gone after the next rebalance.", builder=builder.remove(device.id))


def rebalance(builder: RingBuilder, arguments: argparse.Namespace) -> Outcome:
    """Place the replicas."""
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 32)
    rebalanced, report = builder.rebalance(seed, time.time())
    facts = dataclasses.asdict(report) | {"seed": seed}
    if report.moved == 0:
        return Outcome("Nothing to move.", facts, exit_code=EXIT_WARNING)
    text = f"Moved {report.moved} replicas. Balance {report.balance:.2f} %, dispersion {report.dispersed:.2f} %."
    return Outcome(text, facts, rebalanced, publish=True)


def write_ring(builder: RingBuilder, _arguments: argparse.Namespace) -> Outcome:
    """Write the ring file again."""
    return Outcome(f"Wrote version {builder.version}.", {"version": builder.version}, builder, publish=True)


def show(builder: RingBuilder, _arguments: argparse.Namespace) -> Outcome:
    """List the devices."""
    devices = [device for device in builder.devices if device is not None]
    facts = {
        "part_power": builder.part_power,
        "partitions": builder.partition_count,
        "replicas": builder.replicas,
        "min_part_hours": builder.min_part_hours,
        "version": builder.version,
        "devices": [dataclasses.asdict(device) | {"held": builder.held(device.id)} for device in devices],
    }
    lines = [
        (
            f"version {builder.version}, {builder.partition_count} partitions, {builder.replicas:g} replicas, "
            f"min_part_hours {builder.min_part_hours}, {len(devices)} devices"
        ),
        f"{'id':>5} {'device':<48} {'weight':>8} {'partitions':>10}",
    ]
    for device in devices:
        held = builder.held(device.id)
        lines.append(f"{device.id:>5} {device.location:<48} {device.weight:>8g} {held:>10}")
    return Outcome("\n".join(lines), facts)


def find(builder: RingBuilder, text: str) -> Device:
    """Return the device that `text` means: d3, 3, or a location. Raise RingError."""
    for device in builder.devices:
        if device is not None and text in (f"d{device.id}", str(device.id), device.location):
            return device
    raise RingError(f"no device is {text}")


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RingError(f"a weight is a number, not {text!r}") from None


_CHANGES: dict[str, Callable[[RingBuilder, argparse.Namespace], Outcome]] = {
    "add": add,
    "set_weight": set_weight,
    "remove": remove,
    "rebalance": rebalance,
    "write_ring": write_ring,
    "list": show,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Return 0 when it is done, 1 when there was nothing to do, 2 when it cannot be."""
    arguments = _parser().parse_args(argv)
    path = Path(arguments.file)
    try:
        outcome = _run(path, arguments)
        if outcome.builder is not None:
            builder_file.write(path, outcome.builder)
            if outcome.publish:
                file.write(path.with_suffix(".ring"), outcome.builder.to_ring())
    except RingError as error:
        return _fail(f"ring-builder: {error}.")
    except OSError as error:
        return _fail(f"ring-builder: cannot use {error.filename or path}: {error.strerror}.")
    print(json.dumps(outcome.facts) if arguments.json else outcome.text)
    return outcome.exit_code


def _run(path: Path, arguments: argparse.Namespace) -> Outcome:
    if arguments.command == "create":
        if path.exists():
            raise RingError(f"{path} is there already: choose another name, or remove it first")
        return create(arguments)
    return _CHANGES[arguments.command](builder_file.read(path), arguments)


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return EXIT_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ring-builder", description="Build the rings that place data on devices.")
    parser.add_argument("file", help="the builder file; its ring is written beside it, as FILE.ring")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("create", help=create.__doc__)
    command.add_argument("part_power", type=int, help="2 to this power partitions; 100 per device is a good measure")
    command.add_argument("replicas", type=float)
    command.add_argument("min_part_hours", type=int, help="that a partition rests after a replica of it moved")
    command = commands.add_parser("add", help=add.__doc__)
    command.add_argument("devices", nargs="+", metavar="DEVICE WEIGHT", help="as r1z1-127.0.0.1:6200/sdb1 100")
    command = commands.add_parser("set_weight", help=set_weight.__doc__)
    command.add_argument("device", help="as d3, or r1z1-127.0.0.1:6200/sdb1")
    command.add_argument("weight")
    command = commands.add_parser("remove", help=remove.__doc__)
    command.add_argument("device", help="as d3, or r1z1-127.0.0.1:6200/sdb1")
    command = commands.add_parser("rebalance", help=rebalance.__doc__)
    command.add_argument("--seed", type=int, help="the same seed on the same builder places the same")
    commands.add_parser("write_ring", help=write_ring.__doc__)
    commands.add_parser("list", help=show.__doc__)
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="print the facts as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
