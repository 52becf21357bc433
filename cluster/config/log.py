"""`[log]`: what daemons write to their log."""

from dataclasses import dataclass
from typing import Annotated

from cluster.settings import Choices, Meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What daemons write to their log."""

    level: Annotated[
        str,
        Meaning("debug, info, warning or error: what is less than this is left out."),
        Choices(("debug", "info", "warning", "error")),
    ] = "info"
    format: Annotated[
        str,
        Meaning("logfmt (key=value, for people) or json (an object per line, for collectors)."),
        Choices(("logfmt", "json")),
    ] = "logfmt"
