"""A picture of a builder: every device's share as it is wanted beside the share that it holds. Pure.

`bars` says what there is to show, `layout` where, `svg` how; `draw` does the three. The picture is one
self-contained SVG text: no script, no font, no address from elsewhere, light or dark as its reader prefers.
"""

from ring.builder import RingBuilder
from ring.drawing.bars import gather
from ring.drawing.layout import lay_out
from ring.drawing.svg import paint


def draw(builder: RingBuilder, name: str = "") -> str:
    """Return the picture of `builder` as SVG, with `name` in its heading."""
    return paint(lay_out(gather(builder)), builder, name)
