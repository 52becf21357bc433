"""Colours and letters of a picture, as classes: one set of colours for light and one for dark appearance."""

import re
from xml.etree.ElementTree import Element

from ring.drawing.bars import State
from ring.drawing.elements import add, add_rectangle

_ADDRESS = re.compile(r"[0-9a-fA-F]*[.:][0-9a-fA-F.:]+")
_SEPARATOR = re.compile(r"[.:]+")
_GLYPH = 0.6  # width of a character by its size: generous, so that texts stay inside
_SIZES = {"name": 24, "facts": 14, "key": 13, "region": 17, "zone": 14, "share": 12, "node": 11, "device": 11}
_STRIPED = (State.EMPTYING, State.REMOVED)  # devices that should hold nothing

_LIGHT = {
    "page": "#ffffff",
    "card": "#f6f8fa",
    "edge": "#dde2e8",
    "text": "#1b2430",
    "muted": "#5f6b7a",
    "wanted": "#d3dae3",
    "level": "#7d8998",
    "fair": "#2f74c8",
    "over": "#d9730d",
    "under": "#8a4fc8",
    "emptying": "#8b96a5",
    "removed": "#cf3a3a",
}
_DARK = {
    "page": "#11151b",
    "card": "#1a2029",
    "edge": "#2d3642",
    "text": "#e8ecf2",
    "muted": "#98a5b5",
    "wanted": "#36414f",
    "level": "#8593a5",
    "fair": "#5c9fee",
    "over": "#f2a044",
    "under": "#b88cf2",
    "emptying": "#77849a",
    "removed": "#f07070",
}
assert _LIGHT.keys() == _DARK.keys() >= {state.name.lower() for state in State}


def fill_of(state: State) -> str:
    """Return the class of a state's bars, or their pattern."""
    name = state.name.lower()
    return f"url(#{name})" if state in _STRIPED else name


def patterns() -> Element:
    """Return the stripes that `fill_of` names."""
    definitions = Element("defs")
    for state in _STRIPED:
        name = state.name.lower()
        pattern = add(
            definitions,
            "pattern",
            id=name,
            width="4",
            height="4",
            patternUnits="userSpaceOnUse",
            patternTransform="rotate(45)",
        )
        add_rectangle(pattern, f"{name} faint", 0, 0, 4, 4)
        add_rectangle(pattern, name, 0, 0, 2, 4)
    return definitions


def style_sheet() -> str:
    """Return the classes as CSS."""
    fonts = 'text{font-family:ui-sans-serif,system-ui,"Segoe UI","DejaVu Sans",sans-serif;fill:inherit}'
    sizes = "".join(f".{name}{{font-size:{size}px}}" for name, size in _SIZES.items())
    rest = (
        ".name,.region,.zone{font-weight:600}.share{font-weight:400}.middle{text-anchor:middle}.end{text-anchor:end}"
        ".hit{fill:transparent}.faint{opacity:.3}g:hover>.hit{fill:currentColor;opacity:.08}"
    )
    return f"{fonts}{sizes}{rest}{_colours(_LIGHT)}@media (prefers-color-scheme:dark){{{_colours(_DARK)}}}"


def _colours(colours: dict[str, str]) -> str:
    fills = "".join(f".{name}{{fill:{colour}}}" for name, colour in colours.items())
    return f"svg{{fill:{colours['text']};color:{colours['text']}}}{fills}.card{{stroke:{colours['edge']}}}"


def fitting(text: str, width: float, kind: str) -> str:
    """Return as much of `text` as `width` has room for: of an IP address, the end; of a name, the beginning."""
    room = int(width / (_SIZES[kind] * _GLYPH))
    if len(text) <= room:
        return text
    if _ADDRESS.fullmatch(text):
        ends = [text[match.start() :] for match in _SEPARATOR.finditer(text)]
        return next((end for end in ends if len(end) <= room), "")
    return text[: room - 1] + "…" if room > 3 else ""


def text_width(text: str, kind: str) -> float:
    """Return how wide `text` is at most."""
    return len(text) * _SIZES[kind] * _GLYPH
