"""The commands that change devices, or remove them."""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from ring import notation
from ring.builder import RingBuilder
from ring.cli.call import Call, Outcome, Question
from ring.cli.options import DeviceWords, Misuse, device_words
from ring.cli.report import device_facts
from ring.cli.selection import all_meant, find, question, refuse_taken_address, refuse_while_increasing
from ring.device import Device
from ring.errors import RingError
from ring.notation import Criteria, described

_Value = TypeVar("_Value")


def set_weight(builder: RingBuilder, call: Call) -> Outcome:
    """Change the weight of devices; 0 empties them."""
    return _set(builder, call, "weight", notation.parse_weight, RingBuilder.set_weight)


def set_region(builder: RingBuilder, call: Call) -> Outcome:
    """Move devices to another region."""
    return _set(builder, call, "region", _region, RingBuilder.set_region)


def set_zone(builder: RingBuilder, call: Call) -> Outcome:
    """Move devices to another zone."""
    return _set(builder, call, "zone", _zone, RingBuilder.set_zone)


def set_info(builder: RingBuilder, call: Call) -> Outcome:
    """Change addresses, names or meta of devices; no partition moves for it."""
    asked = device_words(call.words)
    changes = [(asked.criteria, notation.checked_change(asked.change))]
    if not asked.by_options:
        changes = [(notation.parse_search(sought), notation.parse_change(text)) for sought, text in asked.pairs()]
    changed: list[Device] = []
    questions: list[Question] = []
    for criteria, change in changes:
        devices = find(builder, criteria, call.words)
        questions += question(devices, "Change the info of", asked)
        for device in devices:
            refuse_taken_address(builder, dataclasses.replace(device, **change))
            builder = builder.set_info(device.id, **change)
            changed.append(builder.device(device.id))
    text = "\n".join(f"This is {described(device)} now." for device in changed)
    return Outcome(text, {"devices": device_facts(builder, changed)}, questions=tuple(questions), builder=builder)


def remove(builder: RingBuilder, call: Call) -> Outcome:
    """Take devices out at the next rebalance, which places anew what they held."""
    refuse_while_increasing(builder, "removing devices")
    asked = device_words(call.words)
    devices, warnings = all_meant(builder, asked, call)
    for device in devices:
        if device.id not in builder.removed:
            builder = builder.remove(device.id)
    text = "\n".join(f"{described(device)} is gone after the next rebalance." for device in devices)
    facts = {"devices": device_facts(builder, [builder.device(device.id) for device in devices])}
    return Outcome(text, facts, warnings=warnings, questions=question(devices, "Remove", asked), builder=builder)


def _set(
    builder: RingBuilder,
    call: Call,
    field: str,
    parse: Callable[[str], _Value],
    change: Callable[[RingBuilder, int, _Value], RingBuilder],
) -> Outcome:
    """Change one field of the devices that are meant, to a value that follows them on the command line."""
    asked = device_words(call.words)
    changed: list[Device] = []
    questions: list[Question] = []
    for criteria, text in _meant_values(asked):
        value, devices = parse(text), find(builder, criteria, call.words)
        questions += question(devices, f"Change the {field} of", asked)
        for device in devices:
            if device.id in builder.removed:
                raise RingError(f"device {device.id} is being removed, so its {field} cannot be changed")
            builder = change(builder, device.id, value)
            changed.append(builder.device(device.id))
    said = f"has {field} {value:g} from the next rebalance."
    text = "\n".join(f"{described(device)} {said}" for device in changed)
    return Outcome(text, {"devices": device_facts(builder, changed)}, questions=tuple(questions), builder=builder)


def _meant_values(asked: DeviceWords) -> list[tuple[Criteria, str]]:
    """Return which devices shall get which value. Raise RingError."""
    if not asked.by_options:
        return [(notation.parse_search(sought), text) for sought, text in asked.pairs()]
    if len(asked.words) != 1:
        raise Misuse("one new value follows the options")
    return [(asked.criteria, asked.words[0])]


def _region(text: str) -> int:
    return _tier(text, "region")


def _zone(text: str) -> int:
    return _tier(text, "zone")


def _tier(text: str, name: str) -> int:
    number = notation.parse_whole(text, f"a {name}")
    return int(notation.checked_change({name: number})[name])
