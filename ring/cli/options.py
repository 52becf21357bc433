"""The options of swift-ring-builder's commands: words of a command line <-> values. Pure.

They are read by `optparse`, as Swift's are: so options may stand anywhere and be shortened, and
`--weight -1` is a value while a lone `-1` is an unknown option.
"""

import optparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from optparse import Option
from typing import Any, NoReturn

from ring.address import normal_address
from ring.errors import RingError
from ring.notation import Criteria

_CHANGEABLE = ("ip", "port", "replication_ip", "replication_port", "device", "meta")
FORMAT_VERSION = Option("--format-version", choices=("1", "2"))  # of Swift's ring file


class Misuse(RingError):
    """The words of the command line do not make a command; the command's usage says which do."""


@dataclass(frozen=True, slots=True)
class DeviceWords:
    """The words after a command on devices. They are meant by `words` or by `criteria`, never by both."""

    words: tuple[str, ...]  # that are no options
    criteria: Criteria  # of the options
    change: dict[str, Any]  # new values of fields, of the options --change-…
    yes: bool  # to all questions

    @property
    def by_options(self) -> bool:
        """Whether options say which devices are meant."""
        return self.criteria != Criteria()

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield the words two by two. Raise Misuse when one is left over, or there is none."""
        if not self.words or len(self.words) % 2:
            raise Misuse("the words after the command come in pairs")
        return zip(self.words[::2], self.words[1::2], strict=True)


def device_words(words: Sequence[str]) -> DeviceWords:
    """Return what the words after a command on devices say. Raise Misuse or RingError."""
    options, rest = _DEVICES.parse_args(list(words))
    found = {name: getattr(options, name) for name in Criteria.__dataclass_fields__}
    change = {name: getattr(options, f"change_{name}") for name in _CHANGEABLE}
    return DeviceWords(
        words=tuple(rest),
        criteria=Criteria(**{name: _stored(name, value) for name, value in found.items()}),
        change={name: _stored(name, value) for name, value in change.items() if value},
        yes=options.yes,
    )


class Parser(optparse.OptionParser):
    """An option parser that raises Misuse instead of ending the process."""

    def __init__(self, *options: Option) -> None:
        super().__init__(option_list=options, add_help_option=False)

    def error(self, msg: str) -> NoReturn:
        """Raise Misuse."""
        raise Misuse(msg)


def format_warnings(version: str | None) -> tuple[str, ...]:
    """Return what to say when Swift's ring file is asked for in `version`."""
    return ("rings are written in Swift's format version 1, which all its releases read",) if version == "2" else ()


def _stored(name: str, value: Any) -> Any:
    """Return the value of an option as devices have it; one that is empty says nothing."""
    if value in ("", None):
        return None
    return normal_address(value) if name in ("ip", "replication_ip") else value


_DEVICES = Parser(
    Option("-u", "--id", type="int"),
    Option("-r", "--region", type="int"),
    Option("-z", "--zone", type="int"),
    Option("-i", "--ip"),
    Option("-p", "--port", type="int"),
    Option("-j", "--replication-ip"),
    Option("-q", "--replication-port", type="int"),
    Option("-d", "--device"),
    Option("-w", "--weight", type="float"),
    Option("-m", "--meta"),
    Option("-I", "--change-ip"),
    Option("-P", "--change-port", type="int"),
    Option("-J", "--change-replication-ip"),
    Option("-Q", "--change-replication-port", type="int"),
    Option("-D", "--change-device"),
    Option("-M", "--change-meta"),
    Option("-y", "--yes", action="store_true", default=False),
)
