"""A large upload and download grow no process by much."""

import hashlib
import os
from pathlib import Path
from typing import Any

from tests.cluster import Cluster

SIZE = int(os.environ.get("HOLDFAST_TEST_MEMORY_BYTES", str(400 << 20)))  # 5 << 30 for the whole test
GROWTH_LIMIT = 64 << 20


def _memory(cluster: Cluster) -> dict[str, int]:
    """Return the most memory that each process has had, mapped files included."""
    found = {}
    for name, pid in cluster.processes().items():
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        found[name] = int(fields["VmHWM"].split()[0]) * 1024
    return found


class _Source:
    """A file of SIZE bytes that is nowhere; can be read twice, as SDKs do."""

    def __init__(self) -> None:
        self._block = os.urandom(1 << 20)
        self._position = 0

    def __len__(self) -> int:
        return SIZE

    def read(self, size: int = -1) -> bytes:
        wanted = SIZE - self._position if size < 0 else min(size, SIZE - self._position)
        wanted = min(wanted, 1 << 20)
        offset = self._position & ((1 << 20) - 1)
        data = self._block[offset : offset + wanted]
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, SIZE)[whence]
        return self._position

    def tell(self) -> int:
        return self._position


def test_one_put_and_get_of_a_large_object_take_little_memory(cluster: Cluster) -> None:
    client: Any = cluster.s3(request_checksum_calculation="when_required")
    client.create_bucket(Bucket="memory")
    client.put_object(Bucket="memory", Key="warm", Body=bytes(4 << 20))
    client.get_object(Bucket="memory", Key="warm")["Body"].read()
    before = _memory(cluster)
    source = _Source()
    expected = hashlib.md5()
    while piece := source.read(1 << 20):
        expected.update(piece)
    source.seek(0)
    client.put_object(Bucket="memory", Key="large", Body=source)
    found = hashlib.md5()
    for piece in client.get_object(Bucket="memory", Key="large")["Body"].iter_chunks(1 << 20):
        found.update(piece)
    assert found.digest() == expected.digest()
    grown = {name: size - before[name] for name, size in _memory(cluster).items()}
    print({name: f"+{size >> 20} MiB" for name, size in grown.items()})
    assert max(grown.values()) < GROWTH_LIMIT, grown
