"""What the server counts, by export. To count costs an addition; requests are counted by how long they took."""

from blockgw.nbd.protocol import Command
from cluster.telemetry.metrics import Registry

# from memory to a timeout; NBD is faster than HTTP
BOUNDS_S = (
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip


class ExportCounters:
    """The metrics of one export. They stay when its last connection has gone."""

    __slots__ = ("connections", "errors", "fua", "read_bytes", "seconds", "written_bytes")

    def __init__(self, registry: Registry, export: str) -> None:
        seconds = registry.histograms(
            "holdfast_nbd_request_seconds", "From a request to its answer.", ("export", "command"), BOUNDS_S
        )
        self.seconds = {
            int(command): seconds.child(export, command.name.lower())
            for command in Command
            if command is not Command.DISC
        }
        traffic = registry.counters("holdfast_nbd_bytes_total", "Payload.", ("export", "direction"))
        self.read_bytes = traffic.child(export, "read")
        self.written_bytes = traffic.child(export, "written")
        self.fua = registry.counters(
            "holdfast_nbd_fua_total", "Requests that are answered when durable.", ("export",)
        ).child(export)
        self.errors = registry.counters(
            "holdfast_nbd_errors_total", "Requests answered with an error.", ("export",)
        ).child(export)
        self.connections = registry.gauges("holdfast_nbd_connections", "Open connections.", ("export",)).child(
            export
        )

    def count(self, command: Command) -> int:
        """Return how many requests of a kind were answered."""
        return self.seconds[command].count

    def snapshot(self) -> dict[str, int]:
        """Return all counts, by name."""
        counts = {command.name.lower(): self.count(command) for command in Command if command in self.seconds}
        return counts | {
            "fua": int(self.fua.value),
            "errors": int(self.errors.value),
            "read_bytes": int(self.read_bytes.value),
            "written_bytes": int(self.written_bytes.value),
            "connections": int(self.connections.value),
        }


class Counters:
    """Those of all exports."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._by_export: dict[str, ExportCounters] = {}

    def of(self, export: str) -> ExportCounters:
        """Return the counters of an export."""
        counters = self._by_export.get(export)
        if counters is None:
            counters = self._by_export[export] = ExportCounters(self._registry, export)
        return counters
