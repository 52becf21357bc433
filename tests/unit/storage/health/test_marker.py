"""storage.health.marker: whose directory it is."""

from hypothesis import given
from hypothesis import strategies as st

from storage.health.marker import Marker, cluster_digest, decode, disagreement, encode

OURS = Marker(3, cluster_digest("prefix", "suffix"))


def test_the_file_reads_as_documented() -> None:
    """docs/sick-hardware.md"""
    assert encode(Marker(3, "0123456789abcdef")) == b"holdfast device 3\ncluster 0123456789abcdef\n"


@given(st.integers(0, 65_534))
def test_what_was_written_is_read(device_id: int) -> None:
    marker = Marker(device_id, OURS.cluster)
    assert decode(encode(marker)) == marker
    assert decode(encode(marker) + b"mount none\n") == Marker(device_id, OURS.cluster, plain=True)


@given(st.binary(max_size=100))
def test_damage_is_no_marker_of_ours(content: bytes) -> None:
    found = decode(content)
    assert found is None or disagreement(OURS, found)


def test_lines_of_a_later_version_are_passed_over() -> None:
    assert decode(encode(OURS) + b"made on Sunday\n\n") == OURS


def test_a_neighbours_directory_and_another_clusters_are_told_apart() -> None:
    assert disagreement(OURS, OURS) == ""
    assert disagreement(OURS, Marker(4, OURS.cluster)) == "it holds device 4"
    assert "another cluster" in disagreement(OURS, Marker(3, cluster_digest("prefix", "other")))
    assert cluster_digest("ab", "c") != cluster_digest("a", "bc")
