"""The cluster that is looked at. A value."""

from dataclasses import dataclass

from cluster.config import Config
from cluster.layout import Layout


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A cluster, and how its operator calls the `holdfast` command: advice names commands that can be copied."""

    config: Config
    layout: Layout
    program: str = "holdfast"
    option: str = ""  # what leads to this cluster: " --data DIR"

    def command(self, words: str) -> str:
        """Return a command in advice."""
        return f"`{self.program} {words}{self.option}`"
