"""Whether the bytes of an image are what they are declared to be, and safe to have: found out while they pass.

`declared`: the formats there are. `inspection`: the stream, over oslo.utils' inspectors, which do most of it; `qcow2`
and `vmdk` look for what those let through. No file is opened here, and nothing is guessed: what is declared `raw` and
looks like something else is refused, because others might guess.
"""
