"""The backups of one volume on a target: which objects there are, and how they are read and written.

    VOLUME/about             the key document
    VOLUME/index             ids of backups that may exist, for listings that lag behind
    VOLUME/backups/BACKUP    manifests
    VOLUME/partial/BACKUP    the manifest of a backup that is under way, or was interrupted
    VOLUME/pieces/AA/ID      pieces
    VOLUME/lock              who is at work (lock.py)

VOLUME is the volume's id. Invariant: a manifest is written after all its pieces, and pieces are deleted after all
manifests that name them; so every piece of a manifest is there. Every read is checked: what is not as it was written
is raised as Damaged, with the name of the object.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from blockgw.backup import manifest as manifests
from blockgw.backup import piece
from blockgw.backup.cipher import ID_SIZE, Cipher
from blockgw.backup.errors import Damaged, NoSuchBackup, NoSuchObject
from blockgw.backup.key import Document, Secret, cipher_of, new_key
from blockgw.backup.manifest import Kind, Manifest
from blockgw.backup.piece import Stored
from blockgw.backup.target import Target

FORMAT = 1
_VOLUME = re.compile(r"[0-9a-f]{32}")
_BACKUP = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_FOLDERS = {Kind.WHOLE: "backups", Kind.UNDER_WAY: "partial"}
_ResultT = TypeVar("_ResultT")


class Opened(NamedTuple):
    """A manifest that was read."""

    manifest: Manifest
    cipher: Cipher  # of its pieces


class Repository:
    """Of one volume. Methods may be called from several threads once `begin`, or a read of a manifest, has returned."""

    def __init__(self, target: Target, volume_id: str, secret: Secret | None = None) -> None:
        assert _VOLUME.fullmatch(volume_id)
        self.target = target
        self.volume_id = volume_id
        self._secret = secret
        self._key: Document | None = None  # of what is written; `begin` sets it
        self._ciphers: dict[str, Cipher] = {}  # by document: to make one may take half a second

    def name(self, *parts: str) -> str:
        """Return the name of an object, for the target."""
        return "/".join((self.volume_id, *parts))

    # keys

    def begin(self) -> Cipher:
        """Return what new backups are sealed by; the first one decides. Raise WrongKey, Damaged."""
        name = self.name("about")
        try:
            about = self._json(name)
        except NoSuchObject:
            self.target.put_new(name, json.dumps({"format": FORMAT, "key": self._inherited_key()}).encode())
            about = self._json(name)  # of whoever was first
        if about.get("format") != FORMAT or "key" not in about:
            raise Damaged(name, f"its format is {about.get('format')}, and this release knows {FORMAT}")
        self._key = about["key"]
        return self._checked(name, lambda: self._cipher(self._key))

    def _inherited_key(self) -> Document | None:
        """Return the key document of the last backup that can be read, or a new one if there is none."""
        for backup_id in reversed(self.backups()):
            try:
                return manifests.key_document(self.target.get(self.name(_FOLDERS[Kind.WHOLE], backup_id)))
            except (NoSuchObject, ValueError):
                continue
        return new_key(self._secret)

    def forget(self) -> None:
        """Let the next backup, as there is no other one, choose its key anew."""
        self.target.delete([self.name("about"), self.name("index")])

    def _cipher(self, key: Document | None) -> Cipher:
        text = json.dumps(key, sort_keys=True)
        if text not in self._ciphers:
            self._ciphers[text] = cipher_of(key, self._secret)
        return self._ciphers[text]

    def _json(self, name: str) -> dict[str, Any]:
        data = self.target.get(name)
        found = self._checked(name, lambda: json.loads(data))
        if not isinstance(found, dict):
            raise Damaged(name, "it is not what it should be")
        return found

    @staticmethod
    def _checked(name: str, work: Callable[[], _ResultT]) -> _ResultT:
        """Return what `work` makes of an object; say which object it was when it is damaged."""
        try:
            return work()
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged(name, str(error)) from error

    # manifests

    def backups(self, kind: Kind = Kind.WHOLE) -> list[str]:
        """Return the ids of the backups, the oldest first. Of some, the manifest may not exist (yet, or any more)."""
        prefix = self.name(_FOLDERS[kind], "")
        found = {entry.name.removeprefix(prefix) for entry in self.target.list(prefix)}
        if kind is Kind.WHOLE:
            found |= self._indexed()
        return sorted(each for each in found if _BACKUP.fullmatch(each))

    def read(self, backup_id: str, kind: Kind = Kind.WHOLE) -> Opened:
        """Return a manifest, checked. Raise NoSuchBackup, Damaged, WrongKey."""
        name = self.name(_FOLDERS[kind], backup_id)
        try:
            data = self.target.get(name)
        except NoSuchObject:
            raise NoSuchBackup(f"there is no backup {backup_id}") from None
        cipher = self._checked(name, lambda: self._cipher(manifests.key_document(data)))
        return Opened(self._checked(name, lambda: manifests.decode(backup_id, data, kind, cipher)), cipher)

    def read_all(self) -> list[Opened]:
        """Return all backups that exist, the oldest first. Raise Damaged, WrongKey."""
        found = []
        for backup_id in self.backups():
            try:
                found.append(self.read(backup_id))
            except NoSuchBackup:
                continue
        return found

    def write(self, manifest: Manifest, kind: Kind) -> int:
        """Write a manifest, after `begin`; return how many bytes that is. With a whole one, the backup exists."""
        data = manifests.encode(manifest, kind, self._key, self._cipher(self._key))
        if kind is Kind.WHOLE:
            self._index(self._indexed() | {manifest.id})
        self.target.put(self.name(_FOLDERS[kind], manifest.id), data)
        return len(data)

    def drop(self, backup_id: str, kind: Kind = Kind.WHOLE) -> None:
        """Delete a manifest: the backup does not exist any more, its pieces are still there."""
        self.target.delete([self.name(_FOLDERS[kind], backup_id)])
        if kind is Kind.WHOLE:
            self._index(self._indexed() - {backup_id})

    def _indexed(self) -> frozenset[str]:
        name = self.name("index")
        try:
            data = self.target.get(name)
        except NoSuchObject:
            return frozenset()
        return frozenset(map(str, self._checked(name, lambda: json.loads(data)["backups"])))

    def _index(self, ids: Iterable[str]) -> None:
        self.target.put(self.name("index"), json.dumps({"backups": sorted(ids)}).encode())

    # pieces

    def piece_name(self, piece_id: bytes) -> str:
        """Return the name of a piece's object."""
        text = piece_id.hex()
        return self.name("pieces", text[:2], text)

    def known(self) -> dict[bytes, int]:
        """Return the pieces that are there: by id, the bytes of the object."""
        found = {}
        for entry in self.target.list(self.name("pieces", "")):
            text = entry.name.rpartition("/")[2]
            if len(text) == 2 * ID_SIZE:
                found[bytes.fromhex(text)] = entry.size
        return found

    def put_piece(self, piece_id: bytes, content: bytes, cipher: Cipher) -> Stored:
        """Send a piece."""
        data = piece.encode(piece_id, content, cipher)
        self.target.put(self.piece_name(piece_id), data)
        return Stored(piece_id, len(data))

    def get_piece(self, piece_id: bytes, cipher: Cipher) -> bytes:
        """Return the content of a piece, checked. Raise Damaged."""
        name = self.piece_name(piece_id)
        try:
            data = self.target.get(name)
        except NoSuchObject:
            raise Damaged(name, "it is not there") from None
        return self._checked(name, lambda: piece.decode(piece_id, data, cipher))

    def is_there(self, stored: Stored) -> bool:
        """Tell whether a piece is there with the size that it should have."""
        return self.target.size(self.piece_name(stored.id)) == stored.size

    def delete_pieces(self, ids: Iterable[bytes]) -> None:
        """Delete pieces that no manifest names."""
        self.target.delete([self.piece_name(each) for each in ids])


def repositories(target: Target, secret: Secret | None) -> list[Repository]:
    """Return the volumes that have backups on a target."""
    return [Repository(target, each, secret) for each in sorted(target.folders()) if _VOLUME.fullmatch(each)]


def find(target: Target, backup_id: str, secret: Secret | None) -> Repository:
    """Return where a backup is, finished or not. Raise NoSuchBackup."""
    if _BACKUP.fullmatch(backup_id):
        for repository in repositories(target, secret):
            for folder in _FOLDERS.values():
                if target.size(repository.name(folder, backup_id)) is not None:
                    return repository
    raise NoSuchBackup(f"there is no backup {backup_id}: `backups` shows which there are")
