"""The commands on a builder as a whole: create it, change what it is to reach, increase its part power."""

from ring.builder import RingBuilder
from ring.cli.call import Call, Exit, Outcome
from ring.errors import RingError
from ring.formats import Format
from ring.notation import parse_number, parse_whole

_RELINK = "Write the ring, give it to all nodes and relink there."
_CLEAN_UP = "Write the ring, give it to all nodes and clean up there."
_ALL = 1.0  # an overload above it is more than a device's own share


def create(call: Call) -> Outcome:
    """Make a builder without devices, in place of one that is there."""
    if call.files.exists(call.builder_path):
        call.files.builder(call.builder_path)  # no other file is replaced
    power, replicas, hours = call.words[:3]
    builder = RingBuilder.create(
        parse_whole(power, "a part power"),
        parse_number(replicas, "a number of replicas"),
        parse_whole(hours, "min_part_hours"),
    ).with_id()
    facts = {
        "id": builder.id,
        "part_power": builder.part_power,
        "partitions": builder.partition_count,
        "replicas": builder.replicas,
        "min_part_hours": builder.min_part_hours,
    }
    text = f"Created {call.builder_path}: {builder.partition_count} partitions, {builder.replicas:g} replicas."
    return Outcome(text, facts, builder=builder, format=call.format or Format.SWIFT, backed_up=True)


def identify(builder: RingBuilder, _call: Call) -> Outcome:
    """Show the id of the builder."""
    return Outcome(builder.id or "This builder has no id until it is changed.", {"id": builder.id})


def pretend_min_part_hours_passed(builder: RingBuilder, _call: Call) -> Outcome:
    """Let partitions move that were moved just now; what moves twice may be hard to find until it is copied."""
    text = "All partitions may move at the next rebalance."
    return Outcome(text, {"seconds_left": 0}, builder=builder.pretend_min_part_hours_passed())


def set_min_part_hours(builder: RingBuilder, call: Call) -> Outcome:
    """Change for how long a partition rests after one of its replicas moved."""
    hours = parse_whole(call.words[0], "min_part_hours")
    text = f"A partition rests for {hours} hours after a replica of it moved."
    return Outcome(text, {"min_part_hours": hours}, builder=builder.set_min_part_hours(hours))


def set_replicas(builder: RingBuilder, call: Call) -> Outcome:
    """Change the number of replicas; 2.5 means that half of the partitions have three."""
    replicas = parse_number(call.words[0], "a number of replicas")
    text = f"There are {replicas:g} replicas after the next rebalance."
    return Outcome(text, {"replicas": replicas}, builder=builder.set_replicas(replicas))


def set_overload(builder: RingBuilder, call: Call) -> Outcome:
    """Change by how much more than their weight devices may be given, for the sake of dispersion: 0.1, or 10%."""
    text = call.words[0]
    number = parse_number(text.rstrip("%"), "an overload")
    overload = number / 100 if text.endswith("%") else number
    builder = builder.set_overload(overload)
    said = f"Overload is {100 * overload:.2f} % from the next rebalance."
    if overload > _ALL and not text.endswith("%"):
        warning = f"that is more than all of a device's share, and {text}% would be {number:g} hundredths"
        return Outcome(said, {"overload": overload}, Exit.WARNING, warnings=(warning,), builder=builder)
    return Outcome(said, {"overload": overload}, builder=builder)


def prepare_increase_partition_power(builder: RingBuilder, call: Call) -> Outcome:
    """Announce twice as many partitions."""
    if "object" not in call.builder_path.rpartition("/")[2]:
        raise RingError("only the part power of an object ring can be increased, and this builder is not named so")
    return _powered(builder.prepare_increase_partition_power(), _RELINK)


def increase_partition_power(builder: RingBuilder, _call: Call) -> Outcome:
    """Double the partitions."""
    if builder.next_part_power is not None and builder.rows is None:
        raise RingError("nothing is placed yet: rebalance first")
    return _powered(builder.increase_partition_power(), _CLEAN_UP)


def cancel_increase_partition_power(builder: RingBuilder, _call: Call) -> Outcome:
    """Give up the increase that is prepared."""
    return _powered(builder.cancel_increase_partition_power(), _CLEAN_UP)


def finish_increase_partition_power(builder: RingBuilder, _call: Call) -> Outcome:
    """End the increase, or what is left of one that was given up."""
    return _powered(builder.finish_increase_partition_power(), "Write the ring and give it to all nodes.")


def _powered(builder: RingBuilder, step: str) -> Outcome:
    announced = "" if builder.next_part_power is None else f", the next one {builder.next_part_power}"
    facts = {"part_power": builder.part_power, "next_part_power": builder.next_part_power}
    return Outcome(f"The part power is {builder.part_power}{announced}. {step}", facts, builder=builder)
