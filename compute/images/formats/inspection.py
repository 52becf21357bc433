"""The inspection of an image while its bytes pass: is it what it is declared to be, and safe?

    inspection = Inspection("qcow2", "bare", most=2 << 40)
    for chunk in …:
        inspection.eat(chunk)   # raises Refused as soon as that is certain
    virtual_size = inspection.finish()

The beginning is gathered first, so that what is found does not depend on how the bytes were cut. A disk whose size
would be beyond `most` is refused: a file of some kilobytes can hold one that fills all there is. Bytes of archives
(container formats other than `bare`) are not looked at, and no volume is ever made of them.
"""

from oslo_utils.imageutils import format_inspector
from oslo_utils.imageutils.format_inspector import FileInspector, ImageFormatError, SafetyCheckFailed

from compute.images.errors import Refused
from compute.images.formats import declared, qcow2, vmdk

HEAD_SIZE = 1 << 20  # bytes; a VMDK descriptor, the longest thing that is looked at, ends before
_PLAIN_MAY_BE = frozenset(("raw", "gpt"))  # a raw disk may have a partition table
_ISO_MAY_BE = frozenset(("iso", "gpt"))  # one that boots from sticks, too
_OWN_SIZE = frozenset((declared.ISO, *declared.PLAIN))  # the disk is the very bytes
# what others would take for something else, even where too little follows for an inspector to be sure
_MAGICS = (
    b"QFI\xfb", b"QED\0", b"KDMV", b"COWD", b"conectix", b"vhdxfile", b"# Disk DescriptorFile", b"LUKS\xba\xbe",
    b"WithoutFree",
)
_CHECKS = {declared.QCOW2: qcow2.check, declared.VMDK: vmdk.check}


class Inspection:
    """One stream."""

    def __init__(self, disk_format: str | None, container_format: str | None, most: int) -> None:
        self._format = disk_format or ""
        self._most = most  # bytes of the disk
        self._looks = declared.is_disk(disk_format, container_format)
        self._head = bytearray()
        self._head_is_done = False
        self._size = 0
        self._inspectors: list[FileInspector] = (
            [kind() for name, kind in format_inspector.ALL_FORMATS.items() if name != "raw"] if self._looks else []
        )

    def __repr__(self) -> str:
        return f"Inspection({self._format}, {self._size} bytes)"

    def eat(self, chunk: bytes | memoryview) -> None:
        """Look at the next bytes. Raise Refused."""
        self._size += len(chunk)
        if not self._looks:
            return
        if self._head_is_done:
            self._feed(bytes(chunk), [each for each in self._inspectors if not each.complete])
            return
        self._head += chunk
        if len(self._head) >= HEAD_SIZE:
            self._look_at_head()

    def finish(self) -> int | None:
        """Return the size of the disk in bytes; None for what is no disk. Raise Refused."""
        if not self._looks:
            return None
        if not self._head_is_done:
            self._look_at_head()
        for inspector in self._inspectors:
            inspector.finish()
        self._judge(self._matching())
        return self._size if self._format in _OWN_SIZE else self._checked_size()

    def _look_at_head(self) -> None:
        self._head_is_done = True
        self._feed(bytes(self._head), list(self._inspectors))
        if self._format in declared.PLAIN:
            self._judge(self._matching())
        if self._format in declared.PLAIN and self._head.startswith(_MAGICS):
            raise Refused(f"The data is declared to be {self._format}, and begins as something else.")
        if self._format in _CHECKS and self._head:
            self._expected()
            _CHECKS[self._format](bytes(self._head))

    def _feed(self, chunk: bytes, inspectors: list[FileInspector]) -> None:
        for inspector in inspectors:
            try:
                inspector.eat_chunk(chunk)
            except Exception as error:  # they raise what their parsing comes upon
                if self._format == inspector.NAME:
                    raise Refused(f"The data is not a {self._format} image that can be read: {error}") from None
                self._inspectors.remove(inspector)

    def _matching(self) -> list[str]:
        return sorted(inspector.NAME for inspector in self._inspectors if _matches(inspector))

    def _judge(self, found: list[str]) -> None:
        """Raise Refused unless what was found is what was declared, and nothing else."""
        if self._format in declared.PLAIN:
            fits = set(found) <= _PLAIN_MAY_BE
        elif self._format == declared.ISO:
            fits = declared.ISO in found and set(found) <= _ISO_MAY_BE
        else:
            fits = found == [self._format]
        if not fits:
            looks = " and ".join(found) or "raw"
            raise Refused(f"The data is declared to be {self._format}, and looks like {looks}.")

    def _expected(self) -> FileInspector:
        """Return the inspector of the declared format. Raise Refused when it has met something else."""
        for inspector in self._inspectors:
            if self._format == inspector.NAME and _matches(inspector):
                return inspector
        raise Refused(f"The data is declared to be {self._format}, and is not.")

    def _checked_size(self) -> int:
        inspector = self._expected()
        try:
            inspector.safety_check()
            size = inspector.virtual_size
        except SafetyCheckFailed as error:
            reasons = "; ".join(f"{name}: {failure}" for name, failure in error.failures.items())
            raise Refused(f"The {self._format} image is not safe: {reasons}.") from None
        except (ImageFormatError, ValueError, ArithmeticError, LookupError) as error:
            raise Refused(f"The {self._format} image cannot be read: {error}") from None
        if not 0 < size <= self._most:
            raise Refused(f"The disk in the image has {size} bytes; up to {self._most} are allowed.")
        return size


def _matches(inspector: FileInspector) -> bool:
    """Tell whether an inspector takes what it has seen for its format; one that cannot tell does not."""
    try:
        return inspector.format_match
    except Exception:  # of text that is no descriptor it never got to know the type
        return False
