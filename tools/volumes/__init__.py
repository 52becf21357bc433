"""`holdfast volume`: what there is of volumes, and what is done to them besides reading and writing.

`command.py` has the options; `asking.py` asks the block gateway, which must run: it knows which volumes are in use;
`showing.py` puts answers into words. The rest is by subject: `space.py`, `background.py`, `limits.py`, `images.py`,
`bench.py`, `moving.py`, `backups.py`.
"""

from tools.volumes.command import add_arguments, run

__all__ = ["add_arguments", "run"]
