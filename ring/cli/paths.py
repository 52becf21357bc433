"""Names of the files around a builder. Pure."""

from pathlib import Path

from ring.formats import Format

BUILDER_SUFFIX = ".builder"
BACKUPS = "backups"


def builder_path(given: str) -> str:
    """Return the builder that is meant by `given`, which may be the name of its ring."""
    for each in Format:
        if given.endswith(each.ring_suffix):
            return given.removesuffix(each.ring_suffix) + BUILDER_SUFFIX
    return given


def ring_path(builder: str, written_in: Format) -> str:
    """Return the ring in one of the formats that lies beside `builder`."""
    return builder.removesuffix(BUILDER_SUFFIX) + written_in.ring_suffix


def backup_path(path: str, time_s: float) -> str:
    """Return where the copy of `path` that is made at `time_s` lies."""
    target = Path(path)
    return str(target.parent / BACKUPS / f"{int(time_s)}.{target.name}")
