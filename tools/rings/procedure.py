"""What all commands that change rings do in turn: show the proposal, ask, begin, look on, tell what came of it."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass

from tools.data_directory import data_option, program
from tools.progress import Progress
from tools.rings.change import Outcome, Proposal, quality
from tools.rings.session import ROUNDS_LIMIT, Session
from tools.rings.terminal import ask


def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True)
class Steps:
    """What a command does around the change of the rings."""

    prepare: Callable[[], None] = _nothing  # before it begins
    undo: Callable[[], None] = _nothing  # of `prepare`, when it could not begin
    begun: Callable[[], None] = _nothing  # once nothing can keep it from happening
    finish: Callable[[], None] = _nothing  # once all data are in place
    interrupted: str = ""  # what to do after Ctrl-C, beside looking on
    rounds_limit: int = ROUNDS_LIMIT


def carry_out(session: Session, proposal: Proposal, arguments: argparse.Namespace, steps: Steps) -> int:
    """Do it all and return the exit code. Raise OperatorError, RingsError."""
    if not arguments.json:
        print(proposal.plan)
    if arguments.dry_run:
        _tell(proposal, None, arguments)
        return 0
    ask(f"Shall this be done ({proposal.note})?", arguments)
    steps.prepare()
    try:
        session.begin(proposal)
    except BaseException:
        steps.undo()
        raise
    steps.begun()
    with Progress() as progress:
        outcome = session.see_through(proposal, progress, _advice(session, steps), steps.rounds_limit)
    steps.finish()
    _tell(proposal, outcome, arguments)
    return 0


def _advice(session: Session, steps: Steps) -> str:
    look = f"`{program()} ring --watch{data_option(session.cluster.layout)}` shows it"
    return f"{look}; {steps.interrupted}" if steps.interrupted else look


def _tell(proposal: Proposal, outcome: Outcome | None, arguments: argparse.Namespace) -> None:
    if arguments.json:
        done = outcome.facts() if outcome else None
        print(json.dumps({"note": proposal.note, "plan": proposal.facts, "done": done}, indent=2))
    elif outcome is not None:
        print(f"Done ({proposal.note}). {outcome.sentence()}")
    else:
        print(f"Afterwards: {quality(proposal.after.balance, proposal.after.dispersion)} Nothing was changed.")
