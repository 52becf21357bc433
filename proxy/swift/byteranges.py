"""Several ranges in one answer: multipart/byteranges (RFC 9110 §14.6). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

Bounds = tuple[int, int]  # half-open


@dataclass(frozen=True, slots=True)
class ByteRanges:
    """The frame around the parts of a body of `size` bytes."""

    bounds: Sequence[Bounds]
    size: int
    part_type: str
    boundary: str

    @property
    def content_type(self) -> str:
        """Return the type of the whole answer."""
        return f"multipart/byteranges;boundary={self.boundary}"

    def before(self, index: int) -> bytes:
        """Return what stands before the bytes of part `index`."""
        start, end = self.bounds[index]
        lead = "\r\n" if index else ""
        return (
            f"{lead}--{self.boundary}\r\n"
            f"Content-Type: {self.part_type}\r\n"
            f"Content-Range: bytes {start}-{end - 1}/{self.size}\r\n\r\n"
        ).encode("latin-1")

    def after(self) -> bytes:
        """Return what stands after the last part."""
        return f"\r\n--{self.boundary}--".encode()

    def length(self) -> int:
        """Return how many bytes the whole answer has."""
        frames = sum(len(self.before(index)) for index in range(len(self.bounds)))
        return frames + len(self.after()) + sum(end - start for start, end in self.bounds)
