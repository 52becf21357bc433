"""Rings as files: `holdfast ring draw`, `export` and `apply`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from ring import disk, drawing, formats
from ring.formats import Format
from tools.data_directory import Cluster
from tools.errors import OperatorError
from tools.rings.offline import taken_over
from tools.rings.procedure import Steps, carry_out
from tools.rings.session import Session


def draw(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Write a picture of a ring."""
    with Session(cluster) as session:
        picture = drawing.draw(session.builders()[arguments.ring], arguments.ring)
    Path(arguments.file).write_text(picture, encoding="utf-8")
    print(f"{arguments.file} is drawn")
    return 0


def export(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Write the builders and rings in force as files."""
    directory = Path(arguments.directory)
    with Session(cluster) as session:
        builders = session.builders()
    directory.mkdir(parents=True, exist_ok=True)
    paths = {name: directory / f"{name}.builder" for name in builders}
    for path in paths.values():
        if path.exists():
            raise OperatorError(f"{path} is there already: choose another directory")
    for name, builder in builders.items():
        disk.write(paths[name], formats.dump_builder(builder, Format.SWIFT))
        ring = builder.to_ring()
        for form in Format:
            disk.write(paths[name].with_suffix(form.ring_suffix), formats.dump_ring(ring, form))
    print(f"{', '.join(path.name for path in paths.values())} and their rings are in {directory}")
    return 0


def apply(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Take over a builder that was changed offline."""
    path = Path(arguments.file)
    name = arguments.ring or path.name.removesuffix(".builder")
    builder, _form = formats.read_builder(path)
    with Session(cluster) as session:
        session.refuse_unless_idle()
        before = session.builders()
        if name not in before:
            raise OperatorError(f"no ring is called {name}: say with --ring which one {path} is for")
        placed = taken_over(before, name, builder)
        proposal = session.proposal(f"apply {path.name} to {name}", before, placed)
        return carry_out(session, proposal, arguments, Steps(rounds_limit=1))


ACTIONS: dict[str, Callable[[Cluster, argparse.Namespace], int]] = {"draw": draw, "export": export, "apply": apply}
