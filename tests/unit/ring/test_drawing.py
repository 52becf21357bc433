"""ring.drawing"""

import dataclasses
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ring.builder import RingBuilder
from ring.drawing import draw
from ring.drawing.bars import Bar, State, gather
from ring.drawing.layout import MARGIN, WIDTH, lay_out
from tests.unit.ring.topologies import builder_of, device, placed

SVG = "{http://www.w3.org/2000/svg}"


def parse(builder: RingBuilder) -> Element:
    return ElementTree.fromstring(draw(builder, "object"))


def texts(picture: Element, tag: str = "text") -> list[str]:
    return ["".join(element.itertext()) for element in picture.iter(SVG + tag)]


def many(count: int, zones: int = 5) -> RingBuilder:
    """Return a builder of `count` devices on nodes of ten; nothing is placed."""
    devices = tuple(device(n, zone=n % zones, node=f"10.0.{n % zones}.{n // 10 // zones}") for n in range(count))
    return dataclasses.replace(builder_of(), devices=devices)


def test_the_heading_names_the_ring_and_how_good_it_is() -> None:
    builder = placed(*(device(number, zone=number) for number in range(4)))
    heading, facts = texts(parse(builder))[:2]
    assert heading == "object ring"
    assert facts == (
        "part power 8 · 256 partitions · 3 replicas · 4 devices · balance 0.00 % · dispersion 0.00 % · "
        f"version {builder.version}"
    )


def test_every_device_tells_what_it_wants_and_holds() -> None:
    builder = placed(*(device(number, zone=number, weight=1 + number % 2) for number in range(6)))
    tooltips = texts(parse(builder), "title")
    for each in builder.devices:
        assert each is not None
        wanted = 768 * each.weight / 9
        tooltip = next(text for text in tooltips if text.startswith(f"d{each.id} "))
        assert f"d{each.id} {each.location}\nweight {each.weight:g}: wants {wanted:,.1f} partitions" in tooltip
        assert f"holds {builder.held(each.id)} (" in tooltip


@pytest.mark.parametrize(
    ("wanted", "held", "state"),
    [
        (1000.0, 1010, State.FAIR),
        (1000.0, 1011, State.OVER),
        (1000.0, 989, State.UNDER),
        (10.5, 11, State.FAIR),
        (10.5, 12, State.OVER),
        (0.0, 5, State.EMPTYING),
    ],
)
def test_a_device_is_marked_when_it_is_a_percent_and_more_than_a_partition_off(
    wanted: float, held: int, state: State
) -> None:
    assert Bar(device(0), wanted, held, is_removed=False).state is state


def test_devices_without_weight_and_removed_ones_are_shown_as_such() -> None:
    builder = placed(*(device(number, zone=number) for number in range(6))).set_weight(2, 0).remove(4)
    picture = parse(builder)
    assert {"no weight", "being removed", "removed"} <= set(texts(picture))
    fills = [element.get("fill") for element in picture.iter(SVG + "rect")]
    assert fills.count("url(#emptying)") == fills.count("url(#removed)") == 2  # the device and the legend


def test_the_legend_has_only_what_occurs() -> None:
    legend = texts(parse(placed(*(device(number, zone=number) for number in range(4)))))
    assert "held" in legend
    assert "no weight" not in legend


def test_nodes_are_in_the_order_of_their_numbers() -> None:
    builder = builder_of(*(device(number, node=f"10.0.0.{number}") for number in (2, 10, 1)))
    assert [node.ip for node in gather(builder)[0].zones[0].nodes] == ["10.0.0.1", "10.0.0.2", "10.0.0.10"]


@pytest.mark.parametrize("builder", [RingBuilder.create(8, 3), builder_of(device(0, weight=0.0)), many(3)])
def test_a_builder_of_which_nothing_is_placed_has_a_picture(builder: RingBuilder) -> None:
    assert "nothing is placed yet" in texts(parse(builder))[1]


@settings(max_examples=30, deadline=None)
@given(st.text(), st.text(max_size=20))
def test_names_from_elsewhere_stay_text(meta: str, name: str) -> None:
    stranger = dataclasses.replace(device(0), meta=meta, device=name, ip="<b>&\x00")
    picture = parse(builder_of(stranger))
    assert {element.tag for element in picture.iter()} <= {
        SVG + tag for tag in ("svg", "title", "style", "defs", "pattern", "rect", "text", "tspan", "g")
    }


def test_nothing_is_fetched_or_run() -> None:
    picture = draw(placed(*(device(number, zone=number) for number in range(4))), "object")
    assert picture.count("http") == picture.count('xmlns="http://www.w3.org/2000/svg"')
    assert "<script" not in picture
    assert "prefers-color-scheme:dark" in picture


@pytest.mark.parametrize("count", [1, 3, 20, 100, 1000, 3000])
@pytest.mark.parametrize("zones", [1, 7])
def test_cards_and_bars_lie_inside_the_picture_and_apart(count: int, zones: int) -> None:
    layout = lay_out(gather(many(count, zones)))
    assert layout.unit >= 4
    for card in layout.cards:
        assert MARGIN - 1e-6 <= card.x <= card.x + card.width <= WIDTH - MARGIN + 1e-6
        assert card.y + card.height <= layout.height
        for node in card.nodes:
            assert card.indent + node.x >= 0
            assert card.indent + node.x + len(node.bars) * layout.unit <= card.width + 1e-6
            assert node.y + layout.bar_height <= card.height
    for one, other in zip(layout.cards, layout.cards[1:], strict=False):
        assert one.x + one.width <= other.x or one.y + one.height <= other.y
    assert sum(len(node.bars) for card in layout.cards for node in card.nodes) == count
