"""Where a picture shows what. Lengths are in SVG's user units, y grows downwards.

Zones are cards, set in lines like words; nodes are set so within their card, and a node of more devices than
a line takes is broken. Devices are as wide as a picture of a page permits, and never too thin to see.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ring.drawing.bars import Bar, Node, Region, Zone

WIDTH = 1200
MARGIN = 40
HEADER_HEIGHT = 134  # heading, facts and legend
CARD_PADDING = 14
CARD_HEADER = 58  # the zone's name and its shares
CARD_GAP = 16
REGION_HEADER = 48
NODE_LABEL = 18  # below the bars
DEVICE_LABEL = 32  # name and percent, above the node's label
_NODE_GAP = 0.75  # of a device's width, within the limits below
_NODE_GAPS = (3.0, 18.0)
_CARD_LEAST = 186.0  # as wide as its header
_PAGE_HEIGHT = 1000.0
_UNITS = tuple(72 * 0.96**step for step in range(71))  # widths of a device to choose from: down to 4
_FILLED = 0.6  # of the width: lines of cards that are fuller are stretched to all of it
_LABELLED_FROM = 40.0  # width of a device whose name and percent are written


@dataclass(frozen=True, slots=True)
class PlacedNode:
    """A node, or one line of a broken one; its bars stand side by side on the line y + bar height."""

    ip: str
    bars: Sequence[Bar]
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Card:
    """A zone."""

    zone: Zone
    nodes: Sequence[PlacedNode]  # relative to the card and its indent
    content: float  # the nodes' width
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0

    @property
    def indent(self) -> float:
        """How far right the nodes are, so that they are in the middle."""
        return (self.width - self.content) / 2


@dataclass(frozen=True, slots=True)
class Heading:
    """Of a region, on the line y."""

    region: Region
    y: float


@dataclass(frozen=True, slots=True)
class Layout:
    """A whole picture."""

    unit: float  # width of a device
    bar_height: float
    most: float  # partitions that a bar of full height stands for
    wanted: float  # partitions, of all devices
    held: int
    headings: Sequence[Heading]
    cards: Sequence[Card]
    height: float

    @property
    def bars(self) -> list[Bar]:
        """Every device."""
        return [bar for heading in self.headings for bar in heading.region.bars]

    @property
    def is_labelled(self) -> bool:
        """Whether there is room for each device's name."""
        return self.unit >= _LABELLED_FROM


def lay_out(regions: Sequence[Region]) -> Layout:
    """Return the layout with the widest devices that fits a page, or takes no more than the thinnest would."""
    thinnest = _lay_out(regions, _UNITS[-1])
    for unit in _UNITS[:-1]:
        layout = _lay_out(regions, unit)
        if layout.height <= max(_PAGE_HEIGHT, thinnest.height):
            return layout
    return thinnest


def _lay_out(regions: Sequence[Region], unit: float) -> Layout:
    bar_height = 120.0 if unit >= 28 else 96.0 if unit >= 10 else 72.0
    lines = [list(_lines([_card(zone, unit, bar_height) for zone in region.zones])) for region in regions]
    slack = _slack([line for of_region in lines for line in of_region])
    headings, cards = [], []
    y = float(HEADER_HEIGHT)
    for region, of_region in zip(regions, lines, strict=True):
        headings.append(Heading(region, y))
        y += REGION_HEADER
        for line in of_region:
            x = float(MARGIN)
            height = max(card.height for card in line)
            for card in line:
                cards.append(replace(card, x=x, y=y, width=card.width + slack, height=height))
                x += card.width + slack + CARD_GAP
            y += height + CARD_GAP
    bars = [bar for region in regions for bar in region.bars]
    most = max((max(bar.wanted, bar.held) for bar in bars), default=0.0)
    return Layout(
        unit=unit,
        bar_height=bar_height,
        most=most or 1.0,
        wanted=sum(bar.wanted for bar in bars),
        held=sum(bar.held for bar in bars),
        headings=headings,
        cards=cards,
        height=y + MARGIN - CARD_GAP,
    )


def _lines(cards: Sequence[Card]) -> Iterator[Sequence[Card]]:
    line: list[Card] = []
    used = 0.0
    for card in cards:
        if line and used + card.width > WIDTH - 2 * MARGIN:
            yield line
            line, used = [], 0.0
        line.append(card)
        used += card.width + CARD_GAP
    if line:
        yield line


def _slack(lines: Sequence[Sequence[Card]]) -> float:
    """Return by how much each card can be wider, so that the fullest line takes the whole width."""
    room = WIDTH - 2 * MARGIN
    used = [(sum(card.width + CARD_GAP for card in line) - CARD_GAP, len(line)) for line in lines]
    if not used or max(used)[0] < _FILLED * room:
        return 0.0
    return max(0.0, min((room - width) / count for width, count in used))


def _card(zone: Zone, unit: float, bar_height: float) -> Card:
    room = WIDTH - 2 * MARGIN - 2 * CARD_PADDING
    gap = min(max(unit * _NODE_GAP, _NODE_GAPS[0]), _NODE_GAPS[1])
    line_height = bar_height + NODE_LABEL + (DEVICE_LABEL if unit >= _LABELLED_FROM else 0) + 10
    nodes, x, y, widest = [], 0.0, 0.0, 0.0
    for ip, bars in _pieces(zone.nodes, int(room // unit)):
        width = len(bars) * unit
        if x and x + width > room:
            x, y = 0.0, y + line_height
        nodes.append(PlacedNode(ip, bars, x, CARD_HEADER + y))
        widest = max(widest, x + width)
        x += width + gap
    width = max(widest + 2 * CARD_PADDING, _CARD_LEAST)
    return Card(zone, nodes, widest, width, CARD_HEADER + y + line_height)


def _pieces(nodes: Sequence[Node], limit: int) -> Iterator[tuple[str, Sequence[Bar]]]:
    """Yield the nodes, broken where they have more devices than `limit`."""
    for node in nodes:
        for start in range(0, len(node.bars), limit):
            yield node.ip, node.bars[start : start + limit]
