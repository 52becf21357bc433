"""Rings in coordination: the document, the ring files that it names, and what daemons report.

    rings                      the document (document); changed by compare-and-set only
    ring-file/DIGEST/NNNN      a ring file, in parts that every backend takes; DIGEST is the sha256 of the whole
    ring-use/PROCESS           which versions a process works by (reports.UseReport)
    ring-progress/DEVICE       how far a device is with copying (reports.Progress)

Files are written before the document names them and removed after no document does, both under the
lease "ring-files": so a document never names a file that is not there, whoever dies in between. What is
left then are files that nobody names, which the next `collect` removes.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256

from cluster.coordination.errors import Conflict, LeaseHeld
from cluster.coordination.interface import ABSENT, Coordination, Entry
from ring import file
from ring.errors import RingError
from ring.lookup import Ring
from storage.client import Rings
from storage.rings import reports
from storage.rings.document import RingDocument, Stage, decode, encode, first
from storage.rings.errors import ChangeUnderWay, NoRings, NothingToCancel, RingMissing, RingsExist, UnfitRings
from storage.rings.reports import Progress, UseReport

DOCUMENT_KEY = "rings"
PART_SIZE = 1 << 20  # bytes; etcd takes requests of 1.5 MiB
_FILE, _USE, _PROGRESS = "ring-file/", "ring-use/", "ring-progress/"
_FILES_LEASE, _FILES_LEASE_TTL_S = "ring-files", 30.0


class RingStore:
    """The rings of a cluster, in coordination. Calls may raise `cluster.coordination.errors.Unavailable`."""

    def __init__(self, coordination: Coordination) -> None:
        self.coordination = coordination
        self._rings: dict[str, Ring] = {}  # by digest, those that the last document names

    # reading

    def read(self) -> tuple[int, RingDocument] | None:
        """Return the document and its version in coordination; None when there is none. Raise DocumentDamaged."""
        value = self.coordination.get(DOCUMENT_KEY)
        return None if value is None else (value.version, decode(value.data))

    def document(self) -> RingDocument:
        """Return the document. Raise NoRings, DocumentDamaged."""
        return self._read()[1]

    def ring(self, digest: str) -> Ring:
        """Return a ring, always the same for a digest that is in use. Raise RingMissing."""
        ring = self._rings.get(digest)
        if ring is None:
            ring = self._rings[digest] = self._load(digest)
        return ring

    def rings_of(self, document: RingDocument) -> Rings:
        """Return the rings that `document` names. Raise RingMissing."""
        current = {name: self.ring(digest) for name, digest in document.current.items()}
        target = {name: self.ring(digest) for name, digest in document.target.items()}
        self._rings = {digest: ring for digest, ring in self._rings.items() if digest in document.digests}
        return Rings(document.version, document.floor, document.stage, current, target)

    def _read(self) -> tuple[int, RingDocument]:
        found = self.read()
        if found is None:
            raise NoRings
        return found

    def _load(self, digest: str) -> Ring:
        parts = self.coordination.range(f"{_FILE}{digest}/")
        data = b"".join(part.data for part in parts)
        if sha256(data).hexdigest() != digest:
            raise RingMissing(f"the ring file {digest[:12]} is not whole: {len(data)} bytes in {len(parts)} parts")
        try:
            return file.load(data)
        except RingError as error:
            raise RingMissing(f"the ring file {digest[:12]} cannot be used: {error}") from error

    # changing

    def create(self, rings: Mapping[str, Ring], now_us: int = 0) -> RingDocument:
        """Publish the first rings of a cluster. Raise RingsExist, ChangeUnderWay."""
        with self._files():
            document = first(self._write_files(rings), now_us)
            try:
                self.coordination.put(DOCUMENT_KEY, encode(document), ABSENT)
            except Conflict:
                raise RingsExist("the cluster has rings already") from None
        return document

    def begin(self, rings: Mapping[str, Ring], note: str, now_us: int) -> RingDocument:
        """Announce a change to `rings`, all of them. Raise ChangeUnderWay, UnfitRings, NoRings."""
        with self._files():
            at, document = self._read()
            if not document.settled:
                raise ChangeUnderWay(f"a change is under way ({document.note or document.stage.value})")
            self._check(document, rings)
            target = self._write_files(rings)
            if target == dict(document.current):
                raise UnfitRings("these are the rings that are in force: nothing would change")
            return self._change(at, document.begin(target, note, now_us))

    def cancel(self, now_us: int) -> RingDocument:
        """Go back to the rings in force before. Raise NothingToCancel, ChangeUnderWay."""
        at, document = self._read()
        if document.stage is Stage.STABLE:
            raise NothingToCancel("no change of rings is under way")
        if document.stage is not Stage.JOINING:
            raise NothingToCancel("the change cannot be cancelled any more: the new devices are being read from")
        return self._change(at, document.cancel(now_us))

    def advance(self, at: int, document: RingDocument) -> bool:
        """Publish the next version if the document is still at version `at` of coordination; tell whether it was."""
        try:
            self.coordination.put(DOCUMENT_KEY, encode(document), at)
        except Conflict:
            return False
        return True

    def _change(self, at: int, document: RingDocument) -> RingDocument:
        if not self.advance(at, document):
            raise ChangeUnderWay("somebody else changed the rings at this moment: look at them again")
        return document

    def _check(self, document: RingDocument, rings: Mapping[str, Ring]) -> None:
        """Raise UnfitRings unless `rings` can follow those in force."""
        if rings.keys() != document.current.keys():
            names = ", ".join(sorted(rings.keys() ^ document.current.keys()))
            raise UnfitRings(f"a change names each ring of the cluster once; these differ: {names}")
        for name, ring in rings.items():
            power = self.ring(document.current[name]).part_power
            if ring.part_power != power:
                raise UnfitRings(f"{name} has part power {power}, which cannot become {ring.part_power} while it runs")

    # files

    def _write_files(self, rings: Mapping[str, Ring]) -> dict[str, str]:
        """Write what is not there yet; return the digests."""
        digests = {}
        for name, ring in rings.items():
            data = file.dump(ring)
            digest = digests[name] = sha256(data).hexdigest()
            for number, offset in enumerate(range(0, len(data), PART_SIZE)):
                key = f"{_FILE}{digest}/{number:04}"
                if self.coordination.get(key) is None:
                    self.coordination.put(key, data[offset : offset + PART_SIZE])
        return digests

    def collect(self) -> int:
        """Remove ring files that nobody names; return how many parts. Raise ChangeUnderWay, NoRings."""
        with self._files():
            used = self.document().digests
            parts = [entry.key for entry in self.coordination.range(_FILE)]
            unused = [key for key in parts if key.removeprefix(_FILE).partition("/")[0] not in used]
            for key in unused:
                self.coordination.delete(key)
            return len(unused)

    @contextmanager
    def _files(self) -> Iterator[None]:
        """Have ring files to oneself."""
        holder = f"{os.getpid()}-{id(self)}"
        try:
            lease = self.coordination.acquire(_FILES_LEASE, holder, _FILES_LEASE_TTL_S)
        except LeaseHeld as held:
            raise ChangeUnderWay(f"somebody else is at the ring files; try again in {held.remaining_s:.0f} s") from held
        try:
            yield
        finally:
            self.coordination.release(lease)

    # reports

    def uses(self) -> dict[str, UseReport]:
        """Return what each process works by."""
        found = {
            entry.key.removeprefix(_USE): reports.decode(UseReport, entry.data)
            for entry in self.coordination.range(_USE)
        }
        return {process: report for process, report in found.items() if report is not None}

    def report_use(self, process: str, oldest: int, newest: int, floor: int = 0, now_us: int = 0) -> None:
        """Tell what `process` works by."""
        self.coordination.put(f"{_USE}{process}", reports.encode(UseReport(oldest, newest, floor, now_us)))

    def forget_use(self, process: str) -> None:
        """Remove the report of a process that is no more. If it is, it reports again at the next version."""
        self.coordination.delete(f"{_USE}{process}")

    def progress(self) -> dict[int, Progress]:
        """Return how far each device is with copying."""
        found = {
            entry.key.removeprefix(_PROGRESS): reports.decode(Progress, entry.data)
            for entry in self.coordination.range(_PROGRESS)
        }
        return {int(device): report for device, report in found.items() if report is not None and device.isdecimal()}

    def report_progress(self, device_id: int, progress: Progress) -> None:
        """Tell how far device `device_id` is."""
        self.coordination.put(f"{_PROGRESS}{device_id}", reports.encode(progress))

    def forget_reports(self, version: int) -> None:
        """Remove what was told of the change that has ended with `version`, and reports of processes that are no more.

        What is told at this moment stays: the next change may be under way, and waits for it; it is not told twice.
        """
        for entry in self.coordination.range(_PROGRESS):
            progress = reports.decode(Progress, entry.data)
            if progress is None or progress.version < version:
                self._forget(entry)
        for entry in self.coordination.range(_USE):
            use = reports.decode(UseReport, entry.data)
            if use is not None and use.newest < version - 1:
                self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        with suppress(Conflict):
            self.coordination.delete(entry.key, entry.version)
