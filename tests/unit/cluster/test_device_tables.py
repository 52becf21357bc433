"""cluster.device_tables"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.config import Config, DeviceConfig, fresh_cluster, parse, render
from cluster.device_tables import with_device, with_weight, without_device
from cluster.errors import ConfigError


def device(device_id: int, weight: float = 1.0) -> DeviceConfig:
    return DeviceConfig(id=device_id, node=f"n{device_id}", directory=f"nodes/{device_id}", weight=weight)


def configuration(*ids: int) -> str:
    return render(Config(cluster=fresh_cluster(), devices=tuple(device(each) for each in ids)))


WRITTEN = """\
# ours
[cluster]
key = "{key}"
hash_prefix = "p"
hash_suffix = "s"

# the first, in the cellar
[[device]]
  id = 0  # never changes
  weight = 3  # TB
  node = "a"
  directory = "x"

# the second
[[device]]
id = 7
node = "b"
directory = "y"

# at home in the evening
[ports]
offset = 100
""".format(key="ab" * 32)


def test_a_device_is_added_at_the_end_and_all_else_stays() -> None:
    changed = with_device(WRITTEN, device(8, weight=2.5))
    assert changed.startswith(WRITTEN)
    assert [(each.id, each.weight) for each in parse(changed).devices] == [(0, 3.0), (7, 1.0), (8, 2.5)]


def test_a_device_is_removed_with_its_table_and_all_else_stays() -> None:
    """A comment goes on standing above the table that it stood above."""
    changed = without_device(WRITTEN, 7)
    table = '[[device]]\nid = 7\nnode = "b"\ndirectory = "y"\n'
    assert changed == WRITTEN.replace(table, "")
    assert [each.id for each in parse(changed).devices] == [0]


def test_a_weight_is_changed_where_it_stands() -> None:
    assert with_weight(WRITTEN, 0, 1.5) == WRITTEN.replace("weight = 3  # TB", "weight = 1.5  # TB")


def test_a_weight_that_was_the_default_is_written() -> None:
    assert with_weight(WRITTEN, 7, 0.0) == WRITTEN.replace("id = 7\n", "id = 7\nweight = 0.0\n")


@given(st.lists(st.integers(0, 30), unique=True, min_size=1, max_size=6), st.data())
def test_what_was_added_can_be_removed_again(ids: list[int], data: st.DataObject) -> None:
    text = configuration(*ids[1:])
    added = with_weight(with_device(text, device(ids[0])), ids[0], data.draw(st.floats(0, 1e6)))
    assert parse(without_device(added, ids[0])) == parse(text)
    assert without_device(added, ids[0]).rstrip() == text.rstrip()


@pytest.mark.parametrize("change", [lambda text: without_device(text, 5), lambda text: with_weight(text, 5, 1.0)])
def test_a_device_that_is_not_there_is_refused(change: object) -> None:
    with pytest.raises(ConfigError, match="no device has the id 5"):
        change(WRITTEN)  # type: ignore[operator]


def test_a_device_that_is_there_already_is_refused() -> None:
    with pytest.raises(ConfigError, match="two devices have the id 7"):
        with_device(WRITTEN, device(7))


UNUSUAL = WRITTEN.split("# the first")[0].replace("# ours", 'device = [{ id = 0, node = "a", directory = "x" }]')


@pytest.mark.parametrize("change", [lambda text: without_device(text, 0), lambda text: with_weight(text, 0, 2.0)])
def test_what_is_written_in_another_way_is_left_to_the_operator(change: object) -> None:
    with pytest.raises(ConfigError, match="change it by hand"):
        change(UNUSUAL)  # type: ignore[operator]
