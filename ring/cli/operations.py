"""The commands by name. To add one: a function from a builder and a call to an outcome, and a line here."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ring.builder import RingBuilder
from ring.cli import changes, composites, devices, dispersion, placing, planning, publishing, report, settings
from ring.cli.call import Call, Outcome

_WIDTH = 100  # of what is said to a terminal
DEFAULT = "list"  # when a file is given and nothing else
ALIASES = {"default": DEFAULT, "show": DEFAULT}
_MEANT = "<search value> | --id N --region N --zone N --ip A --port N --device NAME --weight W --meta TEXT ..."
_FORMAT = "[--format swift|holdfast]"
_Run = TypeVar("_Run", bound=Callable[..., Outcome])


@dataclass(frozen=True, slots=True)
class Operation(Generic[_Run]):
    """A command."""

    run: _Run
    arguments: str = ""  # for people
    least: int = 0  # words after the command
    changes: bool = True  # builder or ring
    takes_format: bool = False

    @property
    def purpose(self) -> str:
        """What it does, in a sentence or two."""
        return self.run.__doc__ or ""


WITHOUT_BUILDER: dict[str, Operation[Callable[[Call], Outcome]]] = {
    "create": Operation(settings.create, f"<part power> <replicas> <min_part_hours> {_FORMAT}", 3, takes_format=True),
    "write_builder": Operation(publishing.write_builder, f"[<min_part_hours>] {_FORMAT}", takes_format=True),
    "analyze": Operation(planning.analyze, "[<scenario.json>] [--check]", changes=False),
    "composite": Operation(
        composites.composite, f"show | compose <builder> ... --output <ring> [--force] {_FORMAT}", 1, takes_format=True
    ),
    "version": Operation(publishing.version, changes=False),
}
ON_BUILDER: dict[str, Operation[Callable[[RingBuilder, Call], Outcome]]] = {
    DEFAULT: Operation(report.show, changes=False),
    "add": Operation(
        devices.add,
        "r<region>z<zone>-<ip>:<port>[R<ip>:<port>]/<device>[_<meta>] <weight> ... | "
        "--region N --zone N --ip A --port N [--replication-ip A --replication-port N] --device NAME --weight W "
        "[--meta TEXT]",
        2,
    ),
    "search": Operation(devices.search, _MEANT, 1, changes=False),
    "list_parts": Operation(devices.list_parts, _MEANT, 1, changes=False),
    "set_weight": Operation(changes.set_weight, "<search value> <weight> ... | <options> <weight> [--yes]", 2),
    "set_region": Operation(changes.set_region, "<search value> <region> ... | <options> <region> [--yes]", 2),
    "set_zone": Operation(changes.set_zone, "<search value> <zone> ... | <options> <zone> [--yes]", 2),
    "set_info": Operation(
        changes.set_info,
        "<search value> <ip>:<port>[R<ip>:<port>]/<device>_<meta> ... | <options> --change-ip A --change-port N "
        "--change-replication-ip A --change-replication-port N --change-device NAME --change-meta TEXT [--yes]",
        2,
    ),
    "remove": Operation(changes.remove, "<search value> ... | <options> [--yes]", 1),
    "rebalance": Operation(placing.rebalance, "[--seed SEED] [--force] [--debug]"),
    "plan": Operation(
        planning.plan_rebalance,
        "[--seed SEED] [--bytes-used SIZE | --bytes-used d<id>=SIZE ...] [--bytes-per-s SIZE]",
        changes=False,
    ),
    "dispersion": Operation(dispersion.dispersion, "[<pattern of tiers>] [--recalculate] [--verbose]"),
    "validate": Operation(placing.validate, changes=False),
    "draw": Operation(publishing.draw, "<file.svg>", 1, changes=False),
    "write_ring": Operation(publishing.write_ring, _FORMAT, takes_format=True),
    "id": Operation(settings.identify, changes=False),
    "pretend_min_part_hours_passed": Operation(settings.pretend_min_part_hours_passed),
    "set_min_part_hours": Operation(settings.set_min_part_hours, "<hours>", 1),
    "set_replicas": Operation(settings.set_replicas, "<replicas>", 1),
    "set_overload": Operation(settings.set_overload, "<overload>[%]", 1),
    "prepare_increase_partition_power": Operation(settings.prepare_increase_partition_power),
    "increase_partition_power": Operation(settings.increase_partition_power),
    "cancel_increase_partition_power": Operation(settings.cancel_increase_partition_power),
    "finish_increase_partition_power": Operation(settings.finish_increase_partition_power),
}
ALL: dict[str, Operation[Any]] = {**WITHOUT_BUILDER, **ON_BUILDER}


def usage(name: str) -> str:
    """Return how the command `name` is written."""
    return f"ring-builder FILE {name} {ALL[name].arguments}".rstrip()


def help_of(name: str) -> str:
    """Return what there is to say about the command `name`."""
    return "\n".join([*_wrapped(usage(name)), "", *_wrapped(ALL[name].purpose)])


def overview() -> str:
    """Return what there is to say about all commands."""
    lines = [
        "ring-builder FILE [COMMAND [ARGUMENT ...]] [--json]",
        "",
        "Builds the rings that place data on devices. FILE is a builder, or the ring beside it.",
        "",
    ]
    for name, operation in ALL.items():
        lines += _wrapped(f"{name} {operation.arguments}".rstrip())
        lines += _wrapped(operation.purpose, indent=4)
    lines += ["", "A search value is d<id>r<region>z<zone>-<ip>:<port>R<ip>:<port>/<device>_<meta>, or parts of it."]
    lines += ["Exit codes: 0 done, 1 done with a warning or nothing to do, 2 refused, and nothing changed."]
    return "\n".join(lines)


def _wrapped(text: str, indent: int = 0) -> list[str]:
    """Return `text` in lines that fit a terminal; those after the first are indented further."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent or 8),
        break_on_hyphens=False,
        break_long_words=False,
    )
