"""Typed settings: dataclasses <-> tables of TOML. Knows no setting by name; `cluster.config` has them.

A field's annotation says it all: `workers: Annotated[int, Meaning("…"), Limits(0, 64)] = 0`.
What is read is checked against it: an unknown key is refused with the nearest known one, a wrong
type or a value out of its limits with what would be right. What is rendered carries the meanings as
comments, and leaves a default as a comment too, so that a file says what was decided for this
cluster, and a later release may choose better defaults.
"""

import dataclasses
import difflib
import json
import math
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar, get_type_hints

from cluster.errors import ConfigError

_COMMENT_WIDTH = 100
_SEPARATED_FROM = 100_000  # numbers get underscores; a port looks better without


class Meaning(str):
    """What a setting does, its unit, and what happens at the extremes."""

    __slots__ = ()


class Limits(NamedTuple):
    """Smallest and largest value allowed, both included."""

    least: float
    most: float = math.inf


class Choices(tuple[str, ...]):
    """The only values allowed."""

    __slots__ = ()


class Setting(NamedTuple):
    """A field of a section, as its annotation describes it."""

    name: str
    type: Any  # bool, int, float, str or tuple[str, ...]
    meaning: str
    limits: Limits | None
    choices: Choices | None
    default: Any  # dataclasses.MISSING: must be given


SectionT = TypeVar("SectionT")

_TYPE_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text in quotes",
    tuple[str, ...]: "a list of texts in quotes",
}


def settings_of(section: type) -> list[Setting]:
    """Return the settings of the dataclass `section`, in the order in which it declares them."""
    hints = get_type_hints(section, include_extras=True)
    return [_setting(field, hints[field.name]) for field in dataclasses.fields(section)]


def _setting(field: Any, hint: Any) -> Setting:
    notes = hint.__metadata__
    return Setting(
        name=field.name,
        type=hint.__origin__,
        meaning=next(note for note in notes if isinstance(note, Meaning)),
        limits=next((note for note in notes if isinstance(note, Limits)), None),
        choices=next((note for note in notes if isinstance(note, Choices)), None),
        default=field.default,
    )


def read_section(section: type[SectionT], title: str, table: Any) -> SectionT:
    """Return `table`, as TOML gave it, as a `section`; `title` names it in errors. Raise ConfigError."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"{title} must be a table of settings, not {table!r}")
    settings = {setting.name: setting for setting in settings_of(section)}
    refuse_unknown(table, settings, title)
    values = {name: _checked(settings[name], f"{title} {name}", value) for name, value in table.items()}
    for setting in settings.values():
        if setting.default is dataclasses.MISSING and setting.name not in values:
            raise ConfigError(f"{title} lacks {setting.name}, which has no default")
    return section(**values)


def refuse_unknown(given: Iterable[str], known: Iterable[str], title: str) -> None:
    """Raise ConfigError when `given` has a name that is not `known`, and tell the nearest."""
    known = list(known)
    for name in given:
        if name in known:
            continue
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        advice = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
        raise ConfigError(f"{title} has no setting {name}; {advice}")


def _checked(setting: Setting, title: str, value: Any) -> Any:
    """Return `value` in the setting's type, or raise ConfigError."""
    converted = _converted(setting.type, value)
    if converted is None:
        raise ConfigError(f"{title} must be {_TYPE_NAMES[setting.type]}, not {_shown(value)}")
    if setting.limits is not None and not setting.limits.least <= converted <= setting.limits.most:
        raise ConfigError(f"{title} must be {_limits_shown(setting.limits)}, not {_shown(value)}")
    if setting.choices is not None and converted not in setting.choices:
        raise ConfigError(f"{title} must be one of {', '.join(setting.choices)}, not {_shown(value)}")
    return converted


def _converted(type_: Any, value: Any) -> Any:
    """Return `value` as `type_`, or None when it is something else."""
    if type_ is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if is_number and math.isfinite(value) else None
    if type_ == tuple[str, ...]:
        is_texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return tuple(value) if is_texts else None
    return value if type(value) is type_ else None


def _limits_shown(limits: Limits) -> str:
    if limits.most == math.inf:
        return f"at least {_number_shown(limits.least)}"
    return f"from {_number_shown(limits.least)} to {_number_shown(limits.most)}"


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)


def _number_shown(value: float) -> str:
    return f"{value:_}" if value >= _SEPARATED_FROM else str(value)


def render_section(section: Any, heading: str) -> str:
    """Return the dataclass `section` as a table of TOML under `heading`, with its meaning as comments."""
    blocks = [f"{heading}\n"]
    for setting in settings_of(type(section)):
        value = getattr(section, setting.name)
        line = f"{setting.name} = {render_value(value)}"
        blocks.append(f"{_comment(setting.meaning)}\n{'#' if value == setting.default else ''}{line}\n")
    return "\n".join(blocks)


def render_plain(section: Any, heading: str) -> str:
    """Return the dataclass `section` as a table of TOML without comments or defaults."""
    lines = [heading]
    for setting in settings_of(type(section)):
        value = getattr(section, setting.name)
        if value != setting.default:
            lines.append(f"{setting.name} = {render_value(value)}")
    return "\n".join(lines) + "\n"


def render_value(value: bool | int | float | str | tuple[str, ...]) -> str:
    """Return `value` as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are among TOML's, but for DEL, which TOML wants escaped
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return f"[{', '.join(render_value(item) for item in value)}]"
    return _number_shown(value)


def _comment(meaning: str) -> str:
    return textwrap.fill(meaning, _COMMENT_WIDTH, initial_indent="# ", subsequent_indent="# ")
