"""How a picture looks: a layout as SVG."""

from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ring.builder import RingBuilder
from ring.drawing.bars import Bar, State
from ring.drawing.elements import add, add_rectangle, add_text, add_title, continue_text, number
from ring.drawing.layout import (
    CARD_PADDING,
    DEVICE_LABEL,
    MARGIN,
    NODE_LABEL,
    REGION_HEADER,
    WIDTH,
    Card,
    Heading,
    Layout,
    PlacedNode,
)
from ring.drawing.style import fill_of, fitting, patterns, style_sheet, text_width

_SLIM_FROM = 8.0  # width of a device from which what is held is drawn slimmer than what is wanted


def paint(layout: Layout, builder: RingBuilder, name: str) -> str:
    """Return the picture of `layout`."""
    heading = f"{name} ring" if name else "Ring"
    svg = Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        width=str(WIDTH),
        height=number(layout.height),
        viewBox=f"0 0 {WIDTH} {number(layout.height)}",
    )
    add_title(svg, heading)
    add(svg, "style").text = style_sheet()
    svg.append(patterns())
    add_rectangle(svg, "page", 0, 0, WIDTH, layout.height)
    add_text(svg, "name", MARGIN, 58, heading)
    add_text(svg, "facts", MARGIN, 84, " · ".join(_facts(builder)))
    _legend(svg, layout)
    for region in layout.headings:
        _region(svg, region, layout)
    for card in layout.cards:
        _card(svg, card, layout)
    return ElementTree.tostring(svg, encoding="unicode")


def _facts(builder: RingBuilder) -> list[str]:
    facts = [
        f"part power {builder.part_power}",
        f"{builder.partition_count:,} partitions",
        f"{builder.replicas:g} replicas",
        f"{sum(device is not None for device in builder.devices):,} devices",
    ]
    if builder.rows is None:
        facts.append("nothing is placed yet")
    elif any(device is not None and device.weight for device in builder.devices):
        facts += [f"balance {builder.balance():.2f} %", f"dispersion {builder.dispersion:.2f} %"]
    return [*facts, f"version {builder.version}"]


def _legend(parent: Element, layout: Layout) -> None:
    """Explain the colours that occur, and the scale."""
    occurring = {bar.state for bar in layout.bars}
    x, y = float(MARGIN), 116.0
    x = _key(parent, x, y, "wanted by weight", "wanted")
    for state in State:
        if state in occurring:
            x = _key(parent, x, y, state.value, fill_of(state))
    if occurring:
        add_text(parent, "key muted end", WIDTH - MARGIN, y, f"a full bar is {layout.most:,.0f} partitions")


def _key(parent: Element, x: float, y: float, text: str, fill: str) -> float:
    """Draw one swatch with its text; return where the next one begins."""
    add_rectangle(parent, fill, x, y - 11, 12, 12)
    if fill == "wanted":
        add_rectangle(parent, "level", x, y - 11, 12, 1.5)
    add_text(parent, "key muted", x + 18, y, text)
    return x + 18 + text_width(text, "key") + 22


def _region(parent: Element, heading: Heading, layout: Layout) -> None:
    region = heading.region
    y = heading.y + REGION_HEADER - 20
    title = add_text(parent, "region", MARGIN, y, f"Region {region.region}")
    continue_text(title, "share muted", f"{_count(region.bars)}, {_shares(region.bars, layout)}")


def _card(parent: Element, card: Card, layout: Layout) -> None:
    group = add(parent, "g", transform=f"translate({number(card.x)} {number(card.y)})")
    add_rectangle(group, "card", 0, 0, card.width, card.height, rx="8")
    title = add_text(group, "zone", CARD_PADDING, 23, f"Zone {card.zone.zone}")
    continue_text(title, "share muted", _count(card.zone.bars))
    add_text(group, "share muted", CARD_PADDING, 40, _shares(card.zone.bars, layout))
    nodes = add(group, "g", transform=f"translate({number(card.indent)} 0)")
    for node in card.nodes:
        _node(nodes, node, layout)


def _count(bars: Sequence[Bar]) -> str:
    return f"{len(bars):,} device{'s' * (len(bars) != 1)}"


def _shares(bars: Sequence[Bar], layout: Layout) -> str:
    """Return which part of all partitions `bars` should hold, and which they hold."""
    wanted, held = sum(bar.wanted for bar in bars), sum(bar.held for bar in bars)
    return f"wants {_percent(wanted, layout.wanted)}, holds {_percent(held, layout.held)}"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "nothing"


def _node(parent: Element, node: PlacedNode, layout: Layout) -> None:
    base = node.y + layout.bar_height
    width = len(node.bars) * layout.unit
    for index, bar in enumerate(node.bars):
        _device(parent, bar, node.x + index * layout.unit, base, layout)
    add_rectangle(parent, "level", node.x, base, width, 1)
    label = fitting(node.ip, width, "node")
    y = base + NODE_LABEL - 4 + (DEVICE_LABEL if layout.is_labelled else 0)
    add_text(parent, "node muted middle", node.x + width / 2, y, label)


def _device(parent: Element, bar: Bar, x: float, base: float, layout: Layout) -> None:
    """Draw the pale bar of what is wanted, and in it the slimmer one of what is held."""
    group = add(parent, "g")
    add_title(group, _tooltip(bar))
    scale = layout.bar_height / layout.most
    space = min(layout.unit / 6, 6.0)
    width = layout.unit - space
    left = x + space / 2
    add_rectangle(group, "hit", x, base - layout.bar_height, layout.unit, layout.bar_height)
    if bar.wanted:
        top = base - bar.wanted * scale
        add_rectangle(group, "wanted", left, top, width, base - top)
    height = max(bar.held * scale, 2.0 if bar.held or not bar.wanted else 0.0)
    inset = width * 0.2 if layout.unit >= _SLIM_FROM else 0.0
    add_rectangle(group, fill_of(bar.state), left + inset, base - height, width - 2 * inset, height)
    if bar.wanted:
        add_rectangle(group, "level", left, top - 0.75, width, 1.5)
    if layout.is_labelled:
        _device_label(group, bar, x + layout.unit / 2, base, layout)


def _device_label(parent: Element, bar: Bar, middle: float, base: float, layout: Layout) -> None:
    state = bar.state
    remark = {State.EMPTYING: "no weight", State.REMOVED: "removed"}.get(state, _signed(bar.off_percent))
    colour = "muted" if state is State.FAIR else state.name.lower()
    add_text(parent, "device middle", middle, base + 14, fitting(bar.device.device, layout.unit, "device"))
    add_text(parent, f"device middle {colour}", middle, base + 28, remark)


def _signed(percent: float) -> str:
    return f"{percent:+.1f} %".replace("-", "\N{MINUS SIGN}")


def _tooltip(bar: Bar) -> str:
    device = bar.device
    lines = [
        f"d{device.id} {device.location}",
        f"weight {device.weight:g}: wants {bar.wanted:,.1f} partitions" if bar.wanted else bar.state.value,
        f"holds {bar.held:,}" + (f" ({_signed(bar.off_percent)})" if bar.wanted else ""),
        device.meta,
    ]
    return "\n".join(filter(None, lines))
