"""The operator's rules of a service: a file in oslo.policy's format, named in the configuration."""

from cluster.errors import ConfigError
from cluster.layout import Layout


def operators_file(layout: Layout, section: str, name: str) -> str | None:
    """Return where it is; None: `name`, as [section] has it, is empty. Raise ConfigError when it is not there."""
    if not name:
        return None
    path = layout.directory / name
    if not path.is_file():
        raise ConfigError(f"[{section}] policy_file: there is no {path}")
    return str(path)
