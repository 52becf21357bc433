"""The command on composite rings: swift-ring-composer's. FILE is then the composite's state."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from optparse import Option
from typing import Any

from ring import composite as composing
from ring.cli.call import Call, Outcome
from ring.cli.options import Misuse, Parser
from ring.cli.table import table
from ring.composite import CompositeState
from ring.errors import RingError
from ring.formats import Format, dump_ring

_COMPOSITE = Parser(Option("--output"), Option("--force", action="store_true"))


@dataclass(frozen=True, slots=True)
class Words:
    """The words after `composite`."""

    paths: tuple[str, ...]  # of the builders to compose; empty: the same as before
    output: str | None  # path of the ring; None: nothing is composed
    force: bool


def composite(call: Call) -> Outcome:
    """Compose one ring of several builders' rings, or show of which it was composed. FILE notes which they are."""
    asked = _parse(call.words)
    return _show(call) if asked.output is None else _compose(call, asked, asked.output)


def _show(call: Call) -> Outcome:
    state = _state(call)
    return Outcome(_text(state), _facts(state))


def _compose(call: Call, asked: Words, output: str) -> Outcome:
    earlier = _state(call) if call.files.exists(call.builder_path) else None
    paths = [call.files.absolute(path) for path in asked.paths or _paths(earlier)]
    builders = [call.files.builder(path)[0] for path in paths]
    ring, state = composing.compose(builders, earlier, paths, force=asked.force, require_change=True)
    written_in = call.format or (Format.SWIFT if output.endswith(Format.SWIFT.ring_suffix) else Format.HOLDFAST)
    return Outcome(
        f"Composed {output}.\n{_text(state)}",
        _facts(state) | {"ring": output},
        files={
            output: dump_ring(ring, written_in),
            call.builder_path: composing.dump(state, call.files.absolute(call.builder_path)).encode(),
        },
    )


def _state(call: Call) -> CompositeState:
    try:
        return composing.load(call.files.text(call.builder_path))
    except RingError as error:
        raise RingError(f"{call.builder_path} is no composite: {error}") from error


def _paths(earlier: CompositeState | None) -> list[str]:
    if earlier is None:
        raise Misuse("name the builders to compose")
    return [component.path for component in earlier.components]


def _facts(state: CompositeState) -> dict[str, Any]:
    return {"version": state.version, "components": [asdict(component) for component in state.components]}


def _text(state: CompositeState) -> str:
    rows = [(each.id, str(each.version), str(each.replicas), each.path) for each in state.components]
    heads = ("builder", "version", "replicas", "file")
    return f"Version {state.version} of the composite, of these builders:\n" + table(
        heads, rows, frozenset({"builder", "file"})
    )


def _parse(words: Sequence[str]) -> Words:
    options, rest = _COMPOSITE.parse_args(list(words))
    if rest[:1] == ["show"]:
        return Words((), None, force=False)
    if rest[:1] != ["compose"]:
        raise Misuse("composite is followed by show or compose")
    if not options.output:
        raise Misuse("--output is missing, which says where to write the ring")
    return Words(tuple(rest[1:]), options.output, bool(options.force))
