"""`holdfast device drain`, `remove` and `set-weight`: devices that are to hold less, or nothing."""

import argparse
import json
from collections.abc import Collection, Sequence

from storage.overview.words import listed
from tools.data_directory import Cluster, data_option, program
from tools.errors import OperatorError
from tools.rings.machines import ring_device
from tools.rings.procedure import Steps, carry_out
from tools.rings.session import Session
from tools.rings.terminal import ask
from tools.rings.wishes import Wish, adding, device_ids, held, removing, weighing


def drain(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Move all data off devices."""
    with Session(cluster) as session:
        session.refuse_unless_idle()
        ids = _known(session, arguments.ids)
        builders = session.builders()
        present = device_ids(builders) & set(ids)
        if not present or (not held(builders, present) and _weightless(session, present)):
            return _say(f"{_named(ids)} drained already", arguments)
        wish = weighing(dict.fromkeys(sorted(present), 0.0))
        proposal = session.propose(f"drain {_listed(ids)}", wish, leaving=present)
        again = f"`{program()} device drain {_spaced(ids)}{data_option(cluster.layout)}` again does what is left"
        steps = Steps(begun=lambda: session.devices.weigh(ids, 0.0), interrupted=again)
        return carry_out(session, proposal, arguments, steps)


def remove(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Take devices out of the rings, the configuration and the processes."""
    with Session(cluster) as session:
        session.refuse_unless_idle()
        ids = _known(session, arguments.ids)
        present = device_ids(session.builders()) & set(ids)

        def take_away() -> None:
            session.devices.take_away(ids, arguments.delete_data)

        if not present:  # an earlier attempt came so far, or they were never taken into use
            if not arguments.dry_run:
                ask(f"{_named(ids)} in no ring. Shall {'it' if len(ids) == 1 else 'they'} go?", arguments)
                take_away()
            return _say(f"{_named(ids)} {'in no ring' if arguments.dry_run else 'removed'}", arguments)
        proposal = session.propose(f"remove {_listed(ids)}", removing(sorted(present)), leaving=present)
        again = f"`{program()} device remove {_spaced(ids)}{data_option(cluster.layout)}` again does what is left"
        return carry_out(session, proposal, arguments, Steps(finish=take_away, interrupted=again))


def set_weight(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Give a device another share of the data; one that is in no ring comes into use."""
    with Session(cluster) as session:
        session.refuse_unless_idle()
        ids = _known(session, arguments.ids)
        wish = _weighing(session, ids[0], arguments.weight)
        proposal = session.propose(f"weigh device {ids[0]} {arguments.weight:g}", wish)
        return carry_out(
            session, proposal, arguments, Steps(begun=lambda: session.devices.weigh(ids, arguments.weight))
        )


def _weighing(session: Session, device_id: int, weight: float) -> Wish:
    if device_id in device_ids(session.builders()):
        return weighing({device_id: weight})
    config = session.devices.config
    unused = ring_device(config, config.device(device_id))
    give_weight = weighing({device_id: weight})
    return lambda builder: give_weight(adding([unused])(builder))


def _known(session: Session, ids: Sequence[int]) -> list[int]:
    """Return the ids, each once. Raise OperatorError when the cluster lacks one."""
    known = {device.id for device in session.devices.config.devices} | device_ids(session.builders())
    for device_id in ids:
        if device_id not in known:
            raise OperatorError(f"there is no device {device_id}: choose from {', '.join(map(str, sorted(known)))}")
    return sorted(set(ids))


def _weightless(session: Session, ids: Collection[int]) -> bool:
    return all(not builder.device(each).weight for builder in session.builders().values() for each in ids)


def _say(sentence: str, arguments: argparse.Namespace) -> int:
    print(json.dumps({"note": sentence, "plan": {}, "done": None}) if arguments.json else f"{sentence}.")
    return 0


def _listed(ids: Sequence[int]) -> str:
    return f"device{'s' if len(ids) > 1 else ''} {listed([str(each) for each in ids])}"


def _named(ids: Sequence[int]) -> str:
    sentence = f"{_listed(ids)} {'are' if len(ids) > 1 else 'is'}"
    return sentence[0].upper() + sentence[1:]


def _spaced(ids: Sequence[int]) -> str:
    return " ".join(str(each) for each in ids)
