"""Backups that the first release with this format has made come back: docs/backup-format.md.

sample.json has the objects of two of them, in base64. Later releases must read them, whatever they write.
"""

import base64
import json
from pathlib import Path

import pytest

from blockgw.backup.key import Secret
from blockgw.backup.piece import PIECE
from blockgw.backup.repository import repositories
from blockgw.backup.restoring import restore
from tests.unit.blockgw.backup.places import MemorySink, MemoryTarget

SAMPLE = Path(__file__).with_name("sample.json")


@pytest.mark.parametrize(
    ("name", "secret"), [("plain", None), ("sealed", Secret.passphrase("correct horse battery staple"))]
)
def test_a_stored_backup_comes_back(name: str, secret: Secret | None) -> None:
    target = MemoryTarget()
    objects = json.loads(SAMPLE.read_text())[name]
    target.objects = {each: base64.b64decode(data) for each, data in objects.items()}
    (repository,) = repositories(target, secret)
    (opened,) = repository.read_all()
    assert (opened.manifest.origin.volume_name, opened.manifest.origin.size) == ("sample", 2 * PIECE + 1024)
    sink = MemorySink(opened.manifest.origin.size)
    restore(repository, opened, sink)
    expected = bytearray(2 * PIECE + 1024)
    expected[0:15] = b"the first piece"
    expected[2 * PIECE + 512 : 2 * PIECE + 526] = b"the last piece"
    assert sink.data == expected
