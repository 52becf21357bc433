"""What daemons tell of themselves during a change: bytes <-> values. docs/ring-changes.md describes them.

They are hints for the conductor and for operators. What a damaged or foreign one means is nothing:
it is passed over as if it were not there, and its writer replaces it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar


@dataclass(frozen=True, slots=True)
class UseReport:
    """Which versions a process works by."""

    oldest: int  # that a request of this process, still under way, was placed by
    newest: int  # that it has taken over
    # of a device: nothing that was placed by an older version is accepted any more, or still on its way into the log
    floor: int = 0
    at_us: int = 0  # wall time of the report


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a device is with copying what it is to hold."""

    version: int  # of the document that enforced JOINING
    partitions_done: int
    partitions_total: int  # of all rings
    objects: int = 0  # copied so far, by this process
    databases: int = 0
    bytes: int = 0
    started_us: int = 0  # wall time
    at_us: int = 0
    waiting: str = ""  # for what, in plain words; empty: it is copying, or done

    @property
    def done(self) -> bool:
        """Whether all is copied."""
        return self.partitions_done >= self.partitions_total


ReportT = TypeVar("ReportT", UseReport, Progress)


def encode(report: UseReport | Progress) -> bytes:
    """Return the report as it is stored."""
    return json.dumps(asdict(report), sort_keys=True).encode()


def decode(kind: type[ReportT], data: bytes) -> ReportT | None:
    """Return the report in `data`, None when there is none in it. Fields that are not known are passed over."""
    try:
        fields: dict[str, Any] = json.loads(data)
        annotations = kind.__annotations__
        report = kind(**{name: value for name, value in fields.items() if name in annotations})
        if not all(type(getattr(report, name)) is wanted for name, wanted in annotations.items()):
            return None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return report


def device_process(device_id: int) -> str:
    """Return the name under which the daemon of a device reports."""
    return f"storage-{device_id}"


def refusing(uses: Mapping[str, UseReport], floor: int) -> frozenset[int]:
    """Return the devices that have reported to refuse whatever is below `floor`."""
    prefix = device_process(0).removesuffix("0")
    return frozenset(
        int(process.removeprefix(prefix))
        for process, use in uses.items()
        if process.startswith(prefix) and use.floor >= floor
    )
