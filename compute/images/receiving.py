"""Bytes of an image on their way into the store: digested, inspected, counted, with one part in memory.

Nothing here touches the database: who receives has announced the object before (`contents`).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from compute.errors import BadRequest, OverLimit
from compute.images.contents import Digest
from compute.images.errors import Refused
from compute.images.formats.inspection import Inspection
from compute.images.store.interface import Writing

HASH_ALGO = "sha512"  # Glance's default; of `Digest.hash_value`


@dataclass(frozen=True, slots=True)
class Expected:
    """What was said of the bytes before they come."""

    disk_format: str | None
    container_format: str | None
    most: int  # bytes that are taken
    most_virtual: int  # bytes of the disk in them
    size: int | None = None  # None: whatever comes
    over: OverLimit | None = None  # what is raised beyond `most`
    late: bool = False  # all bytes are taken whatever they are, and the digest says why they are refused


def receive(chunks: Iterable[bytes | memoryview], writing: Writing, expected: Expected) -> Digest:
    """Write `chunks` into the store, and return what was found out. Raise Refused, BadRequest, OverLimit, Unavailable.

    The object is there when this returns; when it raises, what there was of it is given up.
    """
    try:
        digest = _pass(chunks, writing, expected)
        writing.finish()
    except BaseException:
        writing.abandon()
        raise
    return digest


def _pass(chunks: Iterable[bytes | memoryview], writing: Writing, expected: Expected) -> Digest:
    md5, sha512 = hashlib.md5(usedforsecurity=False), hashlib.sha512()
    inspection = _Lenient(Inspection(expected.disk_format, expected.container_format, expected.most_virtual))
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > expected.most:
            raise expected.over or OverLimit(f"The data is larger than {expected.most} bytes.")
        inspection.eat(chunk)
        if inspection.refusal and not expected.late:
            raise Refused(inspection.refusal)
        md5.update(chunk)
        sha512.update(chunk)
        writing.write(chunk)
    if expected.size is not None and size != expected.size:
        raise BadRequest(f"The data was announced to have {expected.size} bytes, and has {size}.")
    inspection.finish()
    if inspection.refusal and not expected.late:
        raise Refused(inspection.refusal)
    return Digest(size, md5.hexdigest(), sha512.hexdigest(), inspection.virtual_size, inspection.refusal)


class _Lenient:
    """An inspection that keeps its refusal, and looks no further after that."""

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection
        self.refusal: str | None = None
        self.virtual_size: int | None = None

    def eat(self, chunk: bytes | memoryview) -> None:
        if self.refusal is None:
            try:
                self._inspection.eat(chunk)
            except Refused as error:
                self.refusal = str(error)

    def finish(self) -> None:
        if self.refusal is None:
            try:
                self.virtual_size = self._inspection.finish()
            except Refused as error:
                self.refusal = str(error)
