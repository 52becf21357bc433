"""storage.health.examination and heartbeat, on real directories."""

import os
from pathlib import Path

import pytest

from storage.health.condition import Condition
from storage.health.examination import MOUNTED, PLAIN, Directory, examine, look, refusal
from storage.health.heartbeat import HEARTBEAT_FILE, Place, beat, read_marker
from storage.health.judgement import Verdict
from storage.health.marker import MARKER_FILE, Marker, cluster_digest, encode

OURS = Marker(3, cluster_digest("prefix", "suffix"))
PLAIN_OURS = Marker(3, OURS.cluster, plain=True)
NEIGHBOUR = Marker(4, OURS.cluster)


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return str(tmp_path / "nodes" / "d3")


def test_a_directory_that_was_never_used_is_made_and_marked(directory: str) -> None:
    found = examine(directory, OURS, None, require_mount=False)
    assert found.verdict == Verdict(Condition.OK)
    assert found.memory == PLAIN
    assert read_marker(directory) == OURS
    assert look(directory) == Directory(True, mounted=False, marker=OURS, empty=True)
    assert beat(found.place, 1).condition is Condition.OK


@pytest.mark.parametrize(
    ("found", "memory", "expected"),
    [
        (Directory(exists=False), None, None),
        (Directory(exists=False), PLAIN, None),
        (Directory(exists=False), MOUNTED, Condition.VANISHED),
        (Directory(True, mounted=False), PLAIN, None),  # emptied: as good as a new disk
        (Directory(True, mounted=False), MOUNTED, Condition.VANISHED),
        (Directory(True, mounted=True), MOUNTED, None),  # a new disk
        (Directory(True, mounted=False, empty=False), PLAIN, None),  # a log from before there were markers
        (Directory(True, mounted=False, marker=OURS, empty=False), MOUNTED, Condition.VANISHED),  # what was below
        (Directory(True, mounted=False, marker=PLAIN_OURS), MOUNTED, None),  # an operator says so
        (Directory(True, mounted=True, marker=NEIGHBOUR), MOUNTED, Condition.FOREIGN),
        (Directory(True, mounted=True, marker=NEIGHBOUR), None, Condition.FOREIGN),
    ],
)
def test_what_may_be_filled(found: Directory, memory: bytes | None, expected: Condition | None) -> None:
    verdict = refusal(found, OURS, memory, require_mount=False)
    assert (None if verdict is None else verdict.condition) is expected


def test_where_a_mount_is_required_a_plain_directory_is_never_used(directory: str) -> None:
    found = examine(directory, OURS, None, require_mount=True)
    assert found.verdict.condition is Condition.VANISHED
    assert not os.path.exists(directory)


def test_below_a_mount_point_that_has_gone_nothing_is_created(directory: str) -> None:
    os.makedirs(directory)
    assert examine(directory, OURS, MOUNTED, require_mount=False).verdict.condition is Condition.VANISHED
    assert os.listdir(directory) == []


def test_a_neighbours_directory_is_left_as_it_is(directory: str) -> None:
    os.makedirs(directory)
    Path(directory, MARKER_FILE).write_bytes(encode(NEIGHBOUR))
    found = examine(directory, OURS, PLAIN, require_mount=False).verdict
    assert found.condition is Condition.FOREIGN
    assert "device 4" in found.reason
    assert os.listdir(directory) == [MARKER_FILE]


def test_a_heartbeat_notices_that_the_directory_was_emptied_or_has_another_owner(directory: str) -> None:
    place = examine(directory, OURS, None, require_mount=False).place
    Path(directory, MARKER_FILE).write_bytes(encode(NEIGHBOUR))
    assert beat(place, 1).condition is Condition.FOREIGN
    Path(directory, MARKER_FILE).unlink()
    assert beat(place, 2).condition is Condition.VANISHED
    os.unlink(os.path.join(directory, HEARTBEAT_FILE))
    os.rmdir(directory)
    assert beat(place, 3).condition is Condition.VANISHED
    assert not os.path.exists(directory)


def test_a_heartbeat_notices_another_file_system(directory: str) -> None:
    place = examine(directory, OURS, None, require_mount=False).place
    assert place.file_system is not None
    assert beat(Place(directory, OURS, place.file_system + 1), 1).condition is Condition.VANISHED


def test_a_file_where_the_directory_should_be_is_an_outage_and_no_crash(directory: str) -> None:
    Path(directory).parent.mkdir()
    Path(directory).write_bytes(b"")
    assert examine(directory, OURS, None, require_mount=False).verdict.condition.is_out
