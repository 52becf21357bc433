"""The process: it reads files, runs a command, asks, writes what came of it, and says so."""

import json
import os
import random
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import nullcontext

from ring.builder import RingBuilder
from ring.cli import operations, paths
from ring.cli.call import Call, Exit, Outcome, Question
from ring.cli.invocation import HELP, Invocation, parse
from ring.cli.options import Misuse
from ring.cli.progress import ProgressBar
from ring.cli.workspace import Workspace
from ring.errors import RingError
from ring.formats import Format, dump_builder, dump_ring
from ring.notation import described

_SEED_LIMIT = 1 << 32


class Declined(RingError):
    """The operator did not say yes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Return its exit code: 0 done, 1 done with a warning, 2 refused and nothing changed."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in HELP:
        _say(operations.overview())
        return Exit.SUCCESS
    try:
        return _run(parse(words), Workspace())
    except Misuse as error:
        _complain(f"{error}.")
        for name in filter(operations.ALL.__contains__, words[1:2]):
            _complain(f"write it as {operations.usage(name)}")
    except RingError as error:
        _complain(f"{error}.")
    except OSError as error:
        _complain(f"cannot use {error.filename or words[0]}: {error.strerror}.")
    except MemoryError:
        _complain("there is not enough memory for this: choose a smaller part power.")
    except KeyboardInterrupt:
        _complain("stopped; nothing is changed.")
    except Exception:
        traceback.print_exc()  # our mistake; Python's own exit code would stand for a warning
    return Exit.ERROR


def _run(invocation: Invocation, workspace: Workspace) -> Exit:
    operation = operations.ALL.get(invocation.command)
    if operation is None:
        raise RingError(f"{invocation.command!r} is no command: ring-builder --help shows them all")
    if invocation.help:
        _say(operations.help_of(invocation.command))
        return Exit.SUCCESS
    if len(invocation.words) < operation.least:
        raise Misuse(f"{invocation.command} needs more arguments")
    if invocation.format and not operation.takes_format:
        raise Misuse(f"{invocation.command} takes no --format")
    builder_path = paths.builder_path(invocation.file)
    with workspace.locked(builder_path) if operation.changes else nullcontext():
        outcome = _carry_out(invocation, builder_path, workspace)
    _report(outcome, invocation)
    return outcome.exit_code


def _carry_out(invocation: Invocation, builder_path: str, workspace: Workspace) -> Outcome:
    """Run the command, ask what it wants to know, and write what came of it."""
    bar = ProgressBar(sys.stderr)
    call = Call(
        words=invocation.words,
        builder_path=builder_path,
        ring_path=_ring_path(invocation, builder_path, workspace),
        now_s=time.time(),
        chance=random.randrange(_SEED_LIMIT),
        files=workspace,
        format=invocation.format,
        progress=bar,
    )
    written_in = Format.SWIFT
    try:
        if invocation.command in operations.WITHOUT_BUILDER:
            outcome = operations.WITHOUT_BUILDER[invocation.command].run(call)
        else:
            builder, written_in = _read_builder(builder_path, workspace)
            outcome = operations.ON_BUILDER[invocation.command].run(builder, call)
    finally:
        bar.clear()
    for question in outcome.questions:
        _ask(question)
    workspace.write(files_of(outcome, call, written_in))
    return outcome


def files_of(outcome: Outcome, call: Call, written_in: Format) -> dict[str, bytes]:
    """Return what is to be written after `call`, by path. `written_in`: what the builder is in."""
    written = {}
    if outcome.ring is not None:
        for each in Format if call.format is None else (call.format,):
            written[paths.ring_path(call.builder_path, each)] = dump_ring(outcome.ring, each)
    if outcome.builder is not None:
        written[call.builder_path] = dump_builder(outcome.builder.with_id(), outcome.format or written_in)
    backups = {paths.backup_path(path, call.now_s): data for path, data in written.items()} if outcome.backed_up else {}
    return {**backups, **written, **outcome.files}


def _read_builder(path: str, workspace: Workspace) -> tuple[RingBuilder, Format]:
    try:
        return workspace.builder(path)
    except FileNotFoundError:
        raise RingError(f"there is no builder {path}: make one with create, or name another") from None


def _ring_path(invocation: Invocation, builder_path: str, workspace: Workspace) -> str:
    """Return the ring that is meant: the one that is given, or one beside the builder, Swift's if there is none."""
    candidates = [paths.ring_path(builder_path, each) for each in (Format.SWIFT, Format.HOLDFAST)]
    if invocation.file in candidates:
        return invocation.file
    return next(filter(workspace.exists, candidates), candidates[0])


def _ask(question: Question) -> None:
    """Raise Declined unless the operator says yes."""
    for device in question.devices:
        sys.stderr.write(f"    {described(device)}\n")
    sys.stderr.write(f"{question.text} (y/N) ")
    sys.stderr.flush()
    if sys.stdin.readline().rstrip("\n") != "y":
        raise Declined("that was no y, so nothing is changed")


def _report(outcome: Outcome, invocation: Invocation) -> None:
    for warning in outcome.warnings:
        _complain(f"warning: {warning}.")
    if invocation.json:
        common = {"command": invocation.command, "exit_code": outcome.exit_code, "warnings": outcome.warnings}
        _say(json.dumps({**common, **outcome.facts}))
    else:
        _say(outcome.text)


def _say(text: str) -> None:
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on; what was to be done is done
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(sentence: str) -> None:
    sys.stderr.write(f"ring-builder: {sentence}\n")
