"""S3's XML: rendering by f-strings, parsing by expat into a small tree. No I/O.

Requests may hold no document type, hence no entities of their own, and are not deep; their size is
bounded by whoever reads them. Namespaces are dropped: clients send S3's or none.
Characters that XML 1.0 has no place for go out as numeric references, as AWS does it; clients that
store such names ask for encoding-type=url.
"""

import re
from dataclasses import dataclass, field
from xml.parsers import expat

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
CONTENT_TYPE = "application/xml"
MAX_DEPTH = 8  # the deepest request (an access control policy) has five levels

# what can't stand in character data as it is
SPECIAL = re.compile("[&<>\"'\x00-\x1f\x7f\ufffe\uffff]")
_REPLACEMENTS = {code: f"&#x{code:x};" for code in (*range(0x20), 0x7F, 0xFFFE, 0xFFFF)} | {
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
    ord("'"): "&apos;",
}


class MalformedDocument(Exception):
    """The document is not well-formed, too deep, or holds a document type."""


def text(value: str) -> str:
    """Return `value` as character data."""
    return value.translate(_REPLACEMENTS) if SPECIAL.search(value) else value


def document(root: str, content: str) -> bytes:
    """Return the document with one element `root` around `content`, in S3's namespace."""
    return f'{DECLARATION}<{root} xmlns="{NAMESPACE}">{content}</{root}>'.encode()


@dataclass(slots=True)
class Element:
    """An element; `text` is its own character data, all of it in one."""

    name: str
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def find_all(self, name: str) -> list["Element"]:
        """Return the children called `name`."""
        return [child for child in self.children if child.name == name]

    def find(self, name: str) -> "Element | None":
        """Return the first child called `name`."""
        return next((child for child in self.children if child.name == name), None)

    def value(self, name: str) -> str | None:
        """Return the text of the first child called `name`."""
        child = self.find(name)
        return None if child is None else child.text


class _TreeBuilder:
    """Receives expat's events."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._pieces: list[list[str]] = []

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        element = Element(name.rpartition(" ")[2])
        if not self._open:
            self.root = element
        elif len(self._open) == MAX_DEPTH:
            raise MalformedDocument("too deep")
        else:
            self._open[-1].children.append(element)
        self._open.append(element)
        self._pieces.append([])

    def characters(self, data: str) -> None:
        self._pieces[-1].append(data)

    def end(self, _name: str) -> None:
        self._open.pop().text = "".join(self._pieces.pop())

    def refuse(self, *_arguments: object) -> None:
        raise MalformedDocument("a document type")


def parse(data: bytes) -> Element:
    """Return the root of a document. Raise MalformedDocument."""
    parser = expat.ParserCreate(namespace_separator=" ")
    builder = _TreeBuilder()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    parser.StartDoctypeDeclHandler = builder.refuse
    parser.EntityDeclHandler = builder.refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # the latter two: encodings
        raise MalformedDocument(str(error)) from None
    assert builder.root is not None, "expat accepts no document without an element"
    return builder.root
