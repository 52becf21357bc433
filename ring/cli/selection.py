"""Which devices a command is about, and whether it may be done to them. Pure."""

from collections.abc import Sequence

from ring import notation
from ring.address import shown
from ring.builder import RingBuilder
from ring.cli.call import Call, Question
from ring.cli.options import DeviceWords, Misuse
from ring.device import Device
from ring.errors import RingError
from ring.notation import Criteria


def find(builder: RingBuilder, criteria: Criteria, words: Sequence[str]) -> list[Device]:
    """Return the devices that meet `criteria`, which `words` say. Raise RingError when there are none."""
    devices = _matching(builder, criteria)
    if not devices:
        raise _nothing_meant(words)
    return devices


def _matching(builder: RingBuilder, criteria: Criteria) -> list[Device]:
    return [device for device in builder.devices if device is not None and criteria.meet(device)]


def all_meant(builder: RingBuilder, asked: DeviceWords, call: Call) -> tuple[list[Device], tuple[str, ...]]:
    """Return the devices that any search value or the options mean, and warnings of values that mean none.

    Raise RingError when no device is meant.
    """
    if asked.words and asked.by_options:
        raise Misuse("give search values or options, not both")
    sought = {word: notation.parse_search(word) for word in asked.words} or {"": asked.criteria}
    devices, warnings = dict[int, Device](), []
    for word, criteria in sought.items():
        found = _matching(builder, criteria)
        devices |= {device.id: device for device in found}
        if not found:
            warnings.append(f"{word!r} means no device")
    if not devices:
        raise _nothing_meant(call.words)
    return list(devices.values()), tuple(warnings)


def _nothing_meant(words: Sequence[str]) -> RingError:
    return RingError(f"no device is meant by {' '.join(words)!r}: the command list shows which there are")


def question(devices: Sequence[Device], what: str, asked: DeviceWords) -> tuple[Question, ...]:
    """Return the question that has to be answered before `devices` are changed."""
    if len(devices) < 2 or asked.yes:
        return ()
    return (Question(f"{what} these {len(devices)} devices?", devices),)


def refuse_while_increasing(builder: RingBuilder, what: str) -> None:
    """Raise RingError when the part power is being increased, in the midst of which nobody may do `what`."""
    if builder.next_part_power is not None:
        raise RingError(f"the part power is being increased: finish that before {what}")


def refuse_taken_address(builder: RingBuilder, device: Device) -> None:
    """Raise RingError when another device is where `device` would be, even if it is being removed."""
    for other in builder.devices:
        if other is None or other.id == device.id:
            continue
        if (other.ip, other.port, other.device) == (device.ip, device.port, device.device):
            raise RingError(f"device {other.id} is {shown(other.ip, other.port)}/{other.device} already")
