"""The [[device]] tables of a configuration file, changed in place. Text to text; no I/O.

All else in the file stays as the operator left it, comments too. What comes out is parsed again before
it is returned: it says what was asked for, or the change is refused and the operator makes it by hand.
"""

import dataclasses
import re
from collections.abc import Sequence

from cluster.config import Config, DeviceConfig, parse
from cluster.errors import ConfigError
from cluster.settings import render_plain, render_value

_TITLE = "[[device]]"
_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)  # where a table begins
_OWN_HEADER = re.compile(r"[ \t]*\[\[[ \t]*device[ \t]*\]\]")
_ID = re.compile(r"^([ \t]*)id[ \t]*=[ \t]*(\d+)[ \t]*(?:#.*)?$", re.MULTILINE)
_WEIGHT = re.compile(r"^([ \t]*)weight[ \t]*=[^#\n]*?([ \t]*#.*)?$", re.MULTILINE)


def with_device(text: str, device: DeviceConfig) -> str:
    """Return the file `text` with one more device at its end. Raise ConfigError."""
    before = parse(text)
    wanted = sorted((*before.devices, device), key=lambda each: each.id)
    return _checked(f"{text.rstrip()}\n\n{render_plain(device, _TITLE)}", before, wanted)


def without_device(text: str, device_id: int) -> str:
    """Return the file `text` without a device. Raise ConfigError."""
    before = parse(text)
    before.device(device_id)
    start, end = _table(text, device_id)
    wanted = [device for device in before.devices if device.id != device_id]
    return _checked(f"{text[:start]}{text[end:]}".rstrip() + "\n", before, wanted)


def with_weight(text: str, device_id: int, weight: float) -> str:
    """Return the file `text` with another weight of a device. Raise ConfigError."""
    before = parse(text)
    changed = dataclasses.replace(before.device(device_id), weight=weight)
    start, end = _table(text, device_id)
    line = f"weight = {render_value(weight)}"
    table, count = _WEIGHT.subn(rf"\g<1>{line}\g<2>", text[start:end], count=1)
    if not count:
        table = _ID.sub(rf"\g<0>\n\g<1>{line}", text[start:end], count=1)
    wanted = [changed if device.id == device_id else device for device in before.devices]
    return _checked(f"{text[:start]}{table}{text[end:]}", before, wanted)


def _table(text: str, device_id: int) -> tuple[int, int]:
    """Return where the table of a device begins and ends; comments above the next table belong to that."""
    starts = [match.start() for match in _HEADER.finditer(text)]
    for start, following in zip(starts, [*starts[1:], len(text)], strict=True):
        table = text[start:following]
        found = _ID.search(table)
        if _OWN_HEADER.match(table) and found is not None and found[2] == str(device_id):
            lines = table.splitlines(keepends=True)
            while following < len(text) and len(lines) > 1 and (not lines[-1].strip() or lines[-1].lstrip()[0] == "#"):
                following -= len(lines.pop())
            return start, following
    raise _cannot(f"device {device_id} is not written as a table under {_TITLE}")


def _checked(text: str, before: Config, wanted: Sequence[DeviceConfig]) -> str:
    expected = dataclasses.replace(before, devices=tuple(wanted))
    if parse(text) != expected:
        raise _cannot("its devices are written in an unusual way")
    return text


def _cannot(why: str) -> ConfigError:
    return ConfigError(f"the configuration cannot be changed, for {why}: change it by hand")
