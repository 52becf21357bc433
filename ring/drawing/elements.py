"""Elements of SVG, and texts that are safe in it: they are escaped, and what XML cannot have is replaced."""

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def add(parent: Element, tag: str, **attributes: str) -> Element:
    """Return a new last child of `parent`."""
    return ElementTree.SubElement(parent, tag, attributes)


def add_rectangle(
    parent: Element, kind: str, x: float, y: float, width: float, height: float, **attributes: str
) -> Element:
    """Return a new rectangle; `kind`: its classes, or a pattern as url(#name)."""
    paint = {"fill": kind} if kind.startswith("url(") else {"class": kind}
    places = {"x": number(x), "y": number(y), "width": number(width), "height": number(height)}
    return add(parent, "rect", **paint, **places, **attributes)


def add_text(parent: Element, kind: str, x: float, y: float, text: str) -> Element:
    """Return a new text that stands on (x, y); `kind`: its classes."""
    element = add(parent, "text", **{"class": kind}, x=number(x), y=number(y))
    element.text = cleaned(text)
    return element


def continue_text(element: Element, kind: str, text: str) -> None:
    """Go on behind a text in another class."""
    add(element, "tspan", **{"class": kind}, dx="10").text = cleaned(text)


def add_title(parent: Element, text: str) -> None:
    """Give `parent` a tooltip."""
    add(parent, "title").text = cleaned(text)


def cleaned(text: str) -> str:
    """Return `text` with what XML cannot have replaced."""
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def number(value: float) -> str:
    """Return a length as it is written."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
