"""The commands that read rings, or write them without placing anything, and the picture."""

import dataclasses
from optparse import Option

import numpy as np

from ring.builder import RingBuilder
from ring.cli.call import Call, Outcome
from ring.cli.options import FORMAT_VERSION, Misuse, Parser, format_warnings
from ring.drawing import draw as drawn
from ring.errors import RingError
from ring.lookup import Ring
from ring.notation import parse_whole

_MIN_PART_HOURS = 24  # of a builder made from a ring, which does not tell
_WRITE_RING = Parser(FORMAT_VERSION, Option("--dev-id-bytes", choices=("2", "4")))


def version(call: Call) -> Outcome:
    """Show the version of the ring, and what its file is written in."""
    ring, written_in = call.files.ring(call.ring_path)
    facts = {"file": call.ring_path, "version": ring.version, "format": written_in.value}
    return Outcome(f"{call.ring_path}: version {ring.version}, in {written_in.value}'s format.", facts)


def write_ring(builder: RingBuilder, call: Call) -> Outcome:
    """Write the ring again, as it is after set_info or a step of a part power increase."""
    options, _rest = _WRITE_RING.parse_args(list(call.words))
    if not builder.devices:
        raise RingError("the ring would be empty: add devices and rebalance first")
    ring, warnings = builder.to_ring(), format_warnings(options.format_version)
    facts = {"file": call.ring_path, "version": ring.version}
    text = f"Wrote {call.ring_path}, version {ring.version}."
    return Outcome(text, facts, warnings=warnings, ring=ring, backed_up=True)


def write_builder(call: Call) -> Outcome:
    """Make a builder of a ring when the builder is lost; min_part_hours and overload stay lost."""
    if call.files.exists(call.builder_path):
        raise RingError(f"{call.builder_path} is there already: move it away first")
    hours = parse_whole(call.words[0], "min_part_hours") if call.words else _MIN_PART_HOURS
    warnings = () if call.words else (f"min_part_hours is {hours} now, whatever it was in the builder that is lost",)
    ring, written_in = call.files.ring(call.ring_path)
    builder = builder_of(ring, hours)
    text = f"Wrote {call.builder_path}, version {builder.version}."
    facts = {"file": call.builder_path, "version": builder.version, "min_part_hours": hours, "id": builder.id}
    return Outcome(text, facts, warnings=warnings, builder=builder, format=call.format or written_in)


def draw(builder: RingBuilder, call: Call) -> Outcome:
    """Draw the devices by zone, with the weight they want beside what they hold, into an SVG file."""
    path = call.words[0]
    if not path.endswith(".svg"):
        raise Misuse(f"the picture is drawn as SVG, and {path} is not named so")
    return Outcome(f"Drew {path}.", {"file": path}, files={path: drawn(builder).encode()})


def builder_of(ring: Ring, min_part_hours: int) -> RingBuilder:
    """Return the builder that may have made `ring`. Raise RingError."""
    builder = dataclasses.replace(
        RingBuilder.create(ring.part_power, ring.replica_count, min_part_hours),
        devices=ring.devices,
        version=ring.version,
        next_part_power=ring.next_part_power,
        rows=tuple(np.array(row, np.int32) for row in ring.replica_rows),
    )
    return builder.with_dispersion().with_id()
