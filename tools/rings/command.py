"""What `holdfast ring` shows and does: `show`, `cancel`, `rebalance`."""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from cluster.clock import wall_us
from storage.overview.rings import survey
from storage.overview.words import ago
from tools.data_directory import Cluster, data_option, program
from tools.processes import programs
from tools.progress import Progress
from tools.rings.builders import Builders
from tools.rings.procedure import Steps, carry_out
from tools.rings.session import Session
from tools.rings.wishes import drained, nothing_more

_WATCH_PAUSE_S = 0.5
_WATCH_JSON_PAUSE_S = 1.0


def show(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Print how the rings are; with --watch, once no change is under way."""
    with Session(cluster) as session:
        if arguments.watch:
            _watch(session, arguments)
        report = facts(session)
    print(json.dumps(report, indent=None if arguments.watch else 2) if arguments.json else "\n".join(lines(report)))
    return 0


def _watch(session: Session, arguments: argparse.Namespace) -> None:
    """Return when no change is under way; show how it goes until then."""
    with Progress() as progress:
        while not session.store.document().settled:
            if arguments.json:
                print(json.dumps(facts(session)), flush=True)
            else:
                progress.show(session.change_line())
            time.sleep(_WATCH_JSON_PAUSE_S if arguments.json else _WATCH_PAUSE_S)


def facts(session: Session) -> dict[str, Any]:
    """Return how the rings are, for programs."""
    situation = survey.situation_of(session.store)
    document = situation.document
    expected = [program.name for program in programs(session.devices.config, session.cluster.layout)]
    return {
        "version": document.version,
        "floor": document.floor,
        "stage": document.stage.value,
        "stage_in_words": survey.stage_in_words(document),
        "last_change": {"note": document.note, "began": document.started_us / 1e6},
        "change": survey.change_facts(situation, session.devices.down() if not document.settled else ()),
        "rings": _ring_facts(session.builders()),
        "processes": survey.use_facts(document, situation.uses, expected),
    }


def _ring_facts(builders: Builders) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "part_power": builder.part_power,
            "partitions": builder.partition_count,
            "replicas": builder.replicas,
            "devices": sum(device is not None for device in builder.devices),
            "balance": round(builder.balance(), 2),
            "dispersion": round(builder.dispersion, 2),
            "overload": builder.overload,
        }
        for name, builder in sorted(builders.items())
    }


def lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield the report for people."""
    words = report["stage_in_words"]
    yield f"Version {report['version']}: {words}."
    change = report["change"]
    if change:
        yield f"Under way: {change['note']}, for {ago(change['started'])}."
        yield survey.progress_line(change)
        yield from (f"{wait[0].upper()}{wait[1:]}." for wait in change["waiting_for"])
    elif report["last_change"]["note"]:
        last = report["last_change"]
        yield f"The last change: {last['note']}, begun {ago(last['began'])} ago."
    yield ""
    yield f"{'ring':<12} {'partitions':>10} {'replicas':>8} {'devices':>7} {'balance':>9} {'dispersion':>10}"
    for name, ring in report["rings"].items():
        yield (
            f"{name:<12} {ring['partitions']:>10} {ring['replicas']:>8g} {ring['devices']:>7} "
            f"{ring['balance']:>7.2f} % {ring['dispersion']:>8.2f} %"
        )
    yield ""
    yield from survey.use_lines(report["processes"], report["version"])


def cancel(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Take the change under way back."""
    with Session(cluster) as session:
        note = session.store.document().note
        document = session.store.cancel(wall_us())
        shares = survey.shares(session.store, document)
        session.devices.weigh_as({device_id: share.weight for device_id, share in shares.items()})
        unused = [device.id for device in session.devices.config.devices if device.id not in shares]
    if arguments.json:
        print(json.dumps({"cancelled": note, "version": document.version, "unused_devices": unused}))
        return 0
    print(f"Cancelled: {note}. The rings of before are in force; what was copied for it is dropped.")
    for device_id in unused:
        advice = f"`{program()} device remove {device_id}{data_option(cluster.layout)}`"
        print(f"Device {device_id} is in no ring now: {advice} takes it away.")
    return 0


def rebalance(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Move what is not where it should be."""
    with Session(cluster) as session:
        session.refuse_unless_idle()
        proposal = session.propose("rebalance", nothing_more, leaving=drained(session.builders()))
        if not proposal.after.moved:
            print(json.dumps({"note": "rebalance", "plan": {}, "done": None}) if arguments.json else "Nothing to move.")
            return 0
        return carry_out(session, proposal, arguments, Steps())


ACTIONS: dict[str, Callable[[Cluster, argparse.Namespace], int]] = {
    "show": show,
    "cancel": cancel,
    "rebalance": rebalance,
}
