"""The configuration of a cluster: one TOML file, read once, into frozen dataclasses.

Each field's annotation holds its meaning, unit and limits; `render` writes them into the file as
comments. `load` refuses what it does not know and what cannot work, in one sentence, before anything
starts. What follows from the settings (port of a worker, key as bytes) is a property beside them.
"""

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from cluster.errors import ConfigError
from cluster.settings import (
    Choices,
    Limits,
    Meaning,
    read_section,
    refuse_unknown,
    render_plain,
    render_section,
)

KiB = 1 << 10
MiB = 1 << 20
GiB = 1 << 30
DAY_S = 24 * 3600.0

KEY_SIZE = 32  # bytes of the cluster key
_HASH_SALT_SIZE = 16  # random bytes in each of hash_prefix and hash_suffix
_DEFAULT_WORKERS_LIMIT = 4  # of "one per core": more proxies than this take memory from storage on one host
LOOPBACK = "127.0.0.1"
_PORT = Limits(1, 65_535)
TableT = TypeVar("TableT")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """What makes this cluster itself. The secrets must be equal on all its hosts."""

    name: Annotated[str, Meaning("Shown by status and in metrics.")] = "holdfast"
    transport: Annotated[
        str,
        Meaning(
            "How processes reach devices: unix (sockets in the data directory; everything on one host, "
            "fastest) or tcp (each device's host and port)."
        ),
        Choices(("unix", "tcp")),
    ] = "unix"
    key: Annotated[
        str,
        Meaning(
            "64 hexadecimal digits. Peers prove that they know it, and tokens are signed with it: whoever "
            "reads it owns the cluster. Changing it ends all tokens."
        ),
    ] = field(repr=False)
    hash_prefix: Annotated[
        str,
        Meaning(
            "Mixed into the hash that places a name, with hash_suffix, so that nobody outside can aim at one "
            "partition. Fixed for the life of the data: after a change nothing is found."
        ),
    ] = field(repr=False)
    hash_suffix: Annotated[str, Meaning("See hash_prefix.")] = field(repr=False)

    clock_warn_s: Annotated[
        float,
        Meaning(
            "How far a process's clock may be from the others' before status tells. Versions are ordered whatever "
            "clocks say; times that people read, expiry of objects and of signatures go by them."
        ),
        Limits(0.1, DAY_S),
    ] = 5.0

    @property
    def key_bytes(self) -> bytes:
        """The key as the wire and tokens use it."""
        return bytes.fromhex(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortsConfig:
    """Where processes listen. `offset` is added to every port here, so use the methods."""

    listen: Annotated[
        str, Meaning("Address of the S3 and Swift ports. With 0.0.0.0 other hosts reach them, too.")
    ] = "127.0.0.1"
    s3: Annotated[int, Meaning("S3, shared by all proxy workers."), _PORT] = 9000
    swift: Annotated[int, Meaning("Swift, shared by all proxy workers."), _PORT] = 8080
    nbd: Annotated[int, Meaning("Volumes, by NBD: of block gateway 0; gateway N has this plus N."), _PORT] = 10809
    admin_listen: Annotated[
        str,
        Meaning("Address of the admin ports. They have no access control: keep them from strangers."),
    ] = "127.0.0.1"
    storage_admin: Annotated[
        int, Meaning("/metrics and /healthz of device 0; device N has this plus N."), _PORT
    ] = 6200
    proxy_admin: Annotated[
        int, Meaning("/metrics and /healthz of proxy worker 0; worker N has this plus N."), _PORT
    ] = 6100
    gateway_admin: Annotated[int, Meaning("/metrics and /healthz of the block gateway."), _PORT] = 6150
    wire: Annotated[
        int, Meaning("Peer protocol of device 0, with transport tcp; device N has this plus N."), _PORT
    ] = 6000
    offset: Annotated[
        int,
        Meaning("Added to every port of this file, so that several clusters fit on one host."),
        Limits(0, 60_000),
    ] = 0

    @property
    def s3_port(self) -> int:
        """Where S3 is served."""
        return self.s3 + self.offset

    @property
    def swift_port(self) -> int:
        """Where Swift is served."""
        return self.swift + self.offset

    @property
    def nbd_port(self) -> int:
        """Where volumes are served."""
        return self.nbd + self.offset

    def gateway_nbd_port(self, gateway: int) -> int:
        """Return where block gateway `gateway` serves volumes."""
        return self.nbd_port + gateway

    def gateway_admin_port(self, gateway: int) -> int:
        """Return where block gateway `gateway` serves its metrics."""
        return self.gateway_admin + gateway + self.offset

    def storage_admin_port(self, device: int) -> int:
        """Return where the storage daemon of `device` serves its metrics."""
        return self.storage_admin + device + self.offset

    def proxy_admin_port(self, worker: int) -> int:
        """Return where proxy worker `worker` serves its metrics."""
        return self.proxy_admin + worker + self.offset

    def wire_port(self, device: int) -> int:
        """Return where `device` takes peers, unless it has a port of its own."""
        return self.wire + device + self.offset


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyConfig:
    """HTTP front."""

    workers: Annotated[
        int,
        Meaning("Proxy processes. 0: one per core, at most 4. Each takes a core under load and about 50 MB."),
        Limits(0, 100),
    ] = 0
    region: Annotated[
        str,
        Meaning("S3 region. Clients sign with it: AWS_DEFAULT_REGION must say the same."),
    ] = "us-east-1"
    host_domains: Annotated[
        tuple[str, ...],
        Meaning(
            "Host names under which a bucket may be addressed as BUCKET.NAME (virtual-host style). A request "
            "to any other host is path style."
        ),
    ] = ("localhost", "s3.localhost")
    clock_skew_s: Annotated[
        float,
        Meaning(
            "How far a signed request's date may be from our clock. Small: clients with a poor clock are "
            "turned away; large: a captured request can be replayed for longer."
        ),
        Limits(1, 7 * DAY_S),
    ] = 900.0
    token_ttl_s: Annotated[
        float,
        Meaning(
            "Life of a Swift token. A token cannot be taken back before it ends; removing its user ends it."
        ),
        Limits(60, 365 * DAY_S),
    ] = DAY_S
    max_header_bytes: Annotated[
        int,
        Meaning("Size of a request's line and headers together; beyond it the answer is 431."),
        Limits(4 * KiB, MiB),
    ] = 32 * KiB
    max_connections: Annotated[
        int,
        Meaning("Client connections per worker; more are closed at once."),
        Limits(16, 100_000),
    ] = 4096
    max_put_bytes: Annotated[
        int,
        Meaning("Size of one upload or part; larger objects are made of parts. S3 says 5 GiB."),
        Limits(MiB),
    ] = 5 * GiB
    multipart_grace_s: Annotated[
        float,
        Meaning(
            "Time for which parts of a multipart object that was overwritten or deleted can still be read, by "
            "downloads that began before. Small: these break off; large: its space comes back later."
        ),
        Limits(0, 7 * DAY_S),
    ] = 3600.0
    header_timeout_s: Annotated[
        float,
        Meaning("Time for a request's headers to arrive whole; then the connection is closed."),
        Limits(1, 3600),
    ] = 20.0
    body_timeout_s: Annotated[
        float,
        Meaning("Time in which a client may send and take no byte of a body; then the connection is closed."),
        Limits(1, 3600),
    ] = 60.0
    idle_timeout_s: Annotated[
        float,
        Meaning("Time that a connection may wait for its next request."),
        Limits(1, 3600),
    ] = 75.0
    shutdown_grace_s: Annotated[
        float,
        Meaning("Time for requests under way when the proxy is told to stop; then they are cut."),
        Limits(0, 3600),
    ] = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageConfig:
    """Storage daemons."""

    segment_bytes: Annotated[
        int,
        Meaning(
            "Size at which a log segment is closed and the next begun. Small: many files; large: compaction "
            "and recovery work in larger steps."
        ),
        Limits(MiB, 4 * GiB),
    ] = 256 * MiB
    max_open_indexes: Annotated[
        int,
        Meaning(
            "Container and account databases that a device keeps open; each takes two file descriptors and "
            "about 260 kB. Small: busy ones are opened again and again."
        ),
        Limits(8, 100_000),
    ] = 128
    upload_ttl_s: Annotated[
        float,
        Meaning("Time after which an upload that was never committed is dropped from a device."),
        Limits(60),
    ] = 3600.0
    container_split_rows: Annotated[
        int,
        Meaning(
            "Objects of a container, or of a range of it, beyond which it is split into ranges of names with "
            "databases of their own; neighbours are merged when an eighth of that is left of them together. Small: "
            "many databases, longer ways for listings that cross them; large: one device's database grows, and a "
            "split copies more. 0: never."
        ),
        Limits(0),
    ] = 1_000_000
    replication_interval_s: Annotated[
        float,
        Meaning(
            "Time between two comparisons of a device with its peers. Small: more idle load; large: a "
            "replica that missed a write stays behind for longer."
        ),
        Limits(0.1, DAY_S),
    ] = 30.0
    rebalance_bytes_per_s: Annotated[
        int,
        Meaning(
            "Bytes that a device copies or hands over per second when partitions move; each object counts for 16 KiB "
            "more. Small: a change of the rings takes longer; large: clients wait longer meanwhile. 0: no limit."
        ),
        Limits(0),
    ] = 64 * MiB
    repair_bytes_per_s: Annotated[
        int,
        Meaning(
            "Bytes per second that a device copies at most, whatever for: to itself, and for others; each object "
            "counts for 16 KiB more. Below that the rate follows what clients feel. Small: redundancy takes longer to "
            "come back. 0: no limit."
        ),
        Limits(0),
    ] = 0
    min_repair_bytes_per_s: Annotated[
        int,
        Meaning(
            "The same at least, however busy clients keep the device. Small: under a steady load lost replicas are not "
            "rebuilt for long; large: clients wait longer meanwhile."
        ),
        Limits(64 * KiB),
    ] = 8 * MiB
    handoff_after_s: Annotated[
        float,
        Meaning(
            "Time that a device is down before others keep replicas of what it holds until it is back. Small: much is "
            "copied for a restart; large: another failure meets fewer replicas. 0: never."
        ),
        Limits(0),
    ] = 600.0
    heartbeat_interval_s: Annotated[
        float,
        Meaning(
            "Time between two looks at a device's disk: a block is written, synced and read back. Small: an idle disk "
            "is kept awake; large: one that fails while nobody writes is found out later."
        ),
        Limits(0.1, 3600),
    ] = 2.0
    hang_after_s: Annotated[
        float,
        Meaning(
            "Time without an answer from the disk after which a device counts as hanging: it refuses everything at "
            "once, until the disk answers. Small: a busy disk is taken for a sick one; large: a device that others "
            "must do without keeps them waiting."
        ),
        Limits(0.2, 600),
    ] = 2.0
    require_mount: Annotated[
        bool,
        Meaning(
            "Devices are used only if their directory is a mount point. Without it a directory that never was one is "
            "taken as it is; one that was, and is none any more, is never filled either way."
        ),
    ] = False
    scrub_bytes_per_s: Annotated[
        int,
        Meaning(
            "Bytes that a device reads per second to find what is damaged, at most: clients come first. Small: a pass "
            "takes longer than scrub_cycle_s, and status warns. 0: nothing is read that no client asks for."
        ),
        Limits(0),
    ] = 20 * MiB
    scrub_cycle_s: Annotated[
        float,
        Meaning(
            "Time from the beginning of one pass over all bytes of a device to the next. Small: disks are read all the "
            "time; large: damage to two replicas of an object may come together before one is found."
        ),
        Limits(60),
    ] = 14 * DAY_S
    reclaim_age_s: Annotated[
        float,
        Meaning(
            "Age from which the record of a deletion is given up, once every device has heard of it. Small: writes of "
            "a client that slept for longer are put behind others; large: deleted names take space for longer."
        ),
        Limits(60, 3650 * DAY_S),
    ] = 7 * DAY_S
    orphan_grace_s: Annotated[
        float,
        Meaning(
            "Time after the end of an S3 multipart upload from which parts of it that no object is made of are "
            "deleted. Small: less than a proxy may take to complete an upload; large: such parts take space for longer."
        ),
        Limits(60, 3650 * DAY_S),
    ] = 3600.0
    warn_full_ratio: Annotated[
        float,
        Meaning("Used share of a device's file system from which status warns."),
        Limits(0, 1),
    ] = 0.85
    copies_full_ratio: Annotated[
        float,
        Meaning("Used share from which a device takes no copies of partitions that move, or for others that are down."),
        Limits(0, 1),
    ] = 0.90
    refuse_full_ratio: Annotated[
        float,
        Meaning("Used share from which clients' writes are refused. Deletions still work."),
        Limits(0, 1),
    ] = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class RingConfig:
    """Used when the rings are made; later the rings themselves are what counts."""

    part_power: Annotated[
        int,
        Meaning(
            "2 to this power partitions: about 100 per device at the cluster's largest size. Cannot be "
            "changed for data that are there."
        ),
        Limits(1, 24),
    ] = 10
    replicas: Annotated[
        int,
        Meaning("Of every object, container and account. 3: the loss of one stops neither reads nor writes."),
        Limits(1, 16),
    ] = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockConfig:
    """Volumes."""

    gateways: Annotated[
        int,
        Meaning(
            "How many block gateways serve volumes; 0: none. A volume is open at one of them at a time, and each has a "
            "port of its own."
        ),
        Limits(0, 16),
    ] = 1
    allow: Annotated[
        tuple[str, ...],
        Meaning(
            "Who may open which volumes by TCP: rules such as \"backup-* from 10.0.0.0/8 as alice,bob tls read-only\". "
            "The first whose pattern fits decides; what none fits is for nobody. Empty: whoever reaches the port."
        ),
    ] = ()
    tls_certificate: Annotated[
        str,
        Meaning(
            "The NBD port's certificate, with tls_key; the port then takes TLS only. Paths are relative to the data "
            "directory. Without TLS's client names and without rules the port is open to this host alone."
        ),
    ] = ""
    tls_key: Annotated[str, Meaning("Key of tls_certificate: a file that its owner alone can read.")] = ""
    tls_client_authority: Annotated[
        str, Meaning("Certificate authority; clients must show a certificate of it. Its common name is who they are.")
    ] = ""
    tls_psk_file: Annotated[
        str, Meaning("Instead of certificates: shared keys, a file of lines NAME:HEX DIGITS. Takes Python 3.13.")
    ] = ""

    def address(self, listen: str) -> str:
        """Return the address of the NBD port: `listen`, if it is said who may come; else this host alone may."""
        tells_apart = self.allow or self.tls_client_authority or self.tls_psk_file
        return listen if tells_apart else LOOPBACK


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """One device: a directory, and the process that serves it."""

    id: Annotated[
        int, Meaning("Number in the rings. It is never given to another device."), Limits(0, 65_534)
    ]
    node: Annotated[str, Meaning("The host, or what stands for one: its devices fail together.")]
    region: Annotated[int, Meaning("Replicas are spread over regions first."), Limits(1)] = 1
    zone: Annotated[int, Meaning("Then over zones: a rack, a power supply."), Limits(1)] = 1
    weight: Annotated[
        float,
        Meaning(
            "Share of the data, relative to the other devices; usually the size in TB. Once the rings are made, "
            "`holdfast device set-weight` changes it."
        ),
        Limits(0),
    ] = 1.0
    directory: Annotated[str, Meaning("Where it stores; relative to the data directory, or absolute.")]
    host: Annotated[
        str, Meaning("Where its peers reach it, with transport tcp. Rings tell nodes apart by it.")
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meaning("0: the wire port of [ports] plus id. The offset is not added to a port given here."),
        Limits(0, 65_535),
    ] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """A node with addresses of its own. One without such a table listens as [ports] says."""

    name: Annotated[str, Meaning("As its devices name their node.")]
    host: Annotated[
        str,
        Meaning("Where its peers reach devices that are added to it, with transport tcp. Empty: a loopback address."),
    ] = ""
    listen: Annotated[
        str, Meaning("Address of its admin ports, and of S3 and Swift on its proxies. Empty: as [ports] says.")
    ] = ""
    proxies: Annotated[
        int,
        Meaning("Proxy workers on this node. If any node has some, `workers` under [proxy] is not looked at."),
        Limits(0, 100),
    ] = 0
    namespace: Annotated[
        str,
        Meaning(
            "Network namespace that its processes enter when they start, as `ip netns` names it: a node with a network "
            "of its own on a shared host. It must be there, and the supervisor must be root. Empty: the supervisor's."
        ),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A cluster's whole configuration."""

    cluster: ClusterConfig
    ports: PortsConfig = PortsConfig()
    proxy: ProxyConfig = ProxyConfig()
    storage: StorageConfig = StorageConfig()
    block: BlockConfig = BlockConfig()
    ring: RingConfig = RingConfig()
    log: LogConfig = LogConfig()
    devices: tuple[DeviceConfig, ...] = ()  # ordered by id
    nodes: tuple[NodeConfig, ...] = ()  # those that have a table

    def device(self, device_id: int) -> DeviceConfig:
        """Return the device with this id. Raise ConfigError when there is none."""
        for device in self.devices:
            if device.id == device_id:
                return device
        raise ConfigError(f"no device has the id {device_id}")

    def worker_count(self, core_count: int | None = None) -> int:
        """Return how many proxies run on a host with `core_count` cores (default: this one)."""
        if placed := sum(node.proxies for node in self.nodes):
            return placed
        cores = core_count or os.cpu_count() or 1
        return self.proxy.workers or min(cores, _DEFAULT_WORKERS_LIMIT)

    def wire_port(self, device: DeviceConfig) -> int:
        """Return where `device` takes peers with transport tcp."""
        return device.port or self.ports.wire_port(device.id)

    def node(self, name: str) -> NodeConfig:
        """Return the node of this name; one that has no table has no settings of its own."""
        return next((node for node in self.nodes if node.name == name), NodeConfig(name=name))

    def proxy_node(self, worker: int) -> NodeConfig:
        """Return the node on which a proxy worker runs; without a name when no node has proxies."""
        placed = [node for node in self.nodes for _worker in range(node.proxies)]
        return placed[worker] if worker < len(placed) else NodeConfig(name="")

    def proxy_listen(self, worker: int) -> str:
        """Return the address on which a proxy worker takes clients."""
        return self.proxy_node(worker).listen or self.ports.listen

    def proxy_admin_listen(self, worker: int) -> str:
        """Return the address of a proxy worker's admin port."""
        return self.proxy_node(worker).listen or self.ports.admin_listen

    def gateway_node(self, gateway: int) -> NodeConfig:
        """Return the node on which a block gateway runs: one with a proxy; without a name when no node has any."""
        return self.proxy_node(gateway % max(1, self.worker_count()))

    def gateway_listen(self, gateway: int) -> str:
        """Return the address on which a block gateway takes clients."""
        return self.block.address(self.gateway_node(gateway).listen or self.ports.listen)

    def gateway_admin_listen(self, gateway: int) -> str:
        """Return the address of a block gateway's admin port."""
        return self.gateway_node(gateway).listen or self.ports.admin_listen

    def storage_admin_listen(self, device_id: int) -> str:
        """Return the address of the admin port of a device."""
        return self.node(self.device(device_id).node).listen or self.ports.admin_listen


def fresh_cluster(name: str = "holdfast", transport: str = "unix") -> ClusterConfig:
    """Return the identity of a new cluster: random secrets."""
    return ClusterConfig(
        name=name,
        transport=transport,
        key=os.urandom(KEY_SIZE).hex(),
        hash_prefix=os.urandom(_HASH_SALT_SIZE).hex(),
        hash_suffix=os.urandom(_HASH_SALT_SIZE).hex(),
    )


_SECTIONS: dict[str, type] = {
    "cluster": ClusterConfig,
    "ports": PortsConfig,
    "proxy": ProxyConfig,
    "storage": StorageConfig,
    "block": BlockConfig,
    "ring": RingConfig,
    "log": LogConfig,
}
_INTRODUCTION = (
    "# Holdfast cluster configuration. Holds secrets: readable by its owner only.\n"
    "# A line that begins with # and a name shows a default; take the # away to change it.\n"
    "# Every daemon reads this file once, when it starts.\n"
)
_HEADINGS = {
    "ports": "# Ports. Every one has the offset added.",
    "proxy": "# The HTTP front.",
    "storage": "# The storage daemons.",
    "block": "# Volumes.",
    "ring": "# Read when the rings are made, never after.",
}


def load(path: str | os.PathLike[str]) -> Config:
    """Read and check the file at `path`. Raise ConfigError, naming the file."""
    try:
        with open(path, encoding="utf-8") as file:
            return parse(file.read())
    except OSError as error:
        raise ConfigError(f"cannot read {os.fspath(path)}: {error.strerror}") from error
    except (ConfigError, UnicodeDecodeError) as error:
        raise ConfigError(f"{os.fspath(path)}: {error}") from None


def parse(text: str) -> Config:
    """Return the configuration that `text` holds, checked as a whole. Raise ConfigError."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}") from None
    refuse_unknown(tables, [*_SECTIONS, "node", "device"], "the file")
    sections: dict[str, Any] = {
        name: read_section(section, f"[{name}]", tables.get(name, {})) for name, section in _SECTIONS.items()
    }
    nodes = _read_tables(NodeConfig, "node", tables.get("node", []))
    devices = sorted(_read_tables(DeviceConfig, "device", tables.get("device", [])), key=lambda device: device.id)
    config = Config(**sections, nodes=tuple(nodes), devices=tuple(devices))
    check(config)
    return config


def _read_tables(section: type[TableT], name: str, tables: object) -> list[TableT]:
    if not isinstance(tables, list):
        raise ConfigError(f"each {name} is a table of its own, under [[{name}]]")
    return [read_section(section, f"[[{name}]] number {number}", table) for number, table in enumerate(tables, start=1)]


def check(config: Config) -> None:
    """Raise ConfigError when settings that are fine alone do not fit together."""
    _check_secrets(config.cluster)
    _check_fullness(config.storage)
    _check_nodes(config.nodes)
    _check_devices(config.devices)
    _check_ports(config)


def _check_secrets(cluster: ClusterConfig) -> None:
    try:
        fits = len(cluster.key) == 2 * KEY_SIZE and len(cluster.key_bytes) == KEY_SIZE
    except ValueError:
        fits = False
    if not fits:
        raise ConfigError(f"[cluster] key must be {2 * KEY_SIZE} hexadecimal digits")
    if not cluster.hash_prefix and not cluster.hash_suffix:
        raise ConfigError("[cluster] hash_prefix and hash_suffix must not both be empty")


def _check_fullness(storage: StorageConfig) -> None:
    if storage.warn_full_ratio > storage.refuse_full_ratio:
        raise ConfigError(
            "[storage] must have warn_full_ratio <= refuse_full_ratio, not "
            f"{storage.warn_full_ratio} and {storage.refuse_full_ratio}"
        )


def _check_nodes(nodes: tuple[NodeConfig, ...]) -> None:
    names = [node.name for node in nodes]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two [[node]] tables have the name {name}: one node has one")


def _check_devices(devices: tuple[DeviceConfig, ...]) -> None:
    by_id: dict[int, DeviceConfig] = {}
    by_directory: dict[str, DeviceConfig] = {}
    for device in devices:
        directory = os.path.normpath(device.directory)
        if device.id in by_id:
            raise ConfigError(f"two devices have the id {device.id}: each needs its own")
        if directory in by_directory:
            other = by_directory[directory].id
            raise ConfigError(f"devices {other} and {device.id} both store in {device.directory}")
        by_id[device.id] = by_directory[directory] = device


def _check_ports(config: Config) -> None:
    owners: dict[int, str] = {}
    for owner, port in _ports_used(config):
        if port > _PORT.most:
            raise ConfigError(f"{owner} would get port {port}: choose lower ports or a smaller offset")
        if port in owners:
            raise ConfigError(f"{owners[port]} and {owner} would both get port {port}: change one in [ports]")
        owners[port] = owner


def _ports_used(config: Config) -> Iterator[tuple[str, int]]:
    """Yield who listens where on this host."""
    ports = config.ports
    yield "S3", ports.s3_port
    yield "Swift", ports.swift_port
    for gateway in range(config.block.gateways):
        yield f"block gateway {gateway}", ports.gateway_nbd_port(gateway)
        yield f"the metrics of block gateway {gateway}", ports.gateway_admin_port(gateway)
    for worker in range(config.worker_count()):
        yield f"the metrics of proxy worker {worker}", ports.proxy_admin_port(worker)
    for device in config.devices:
        yield f"the metrics of device {device.id}", ports.storage_admin_port(device.id)
    if config.cluster.transport == "tcp":
        for device in config.devices:
            yield f"device {device.id}", config.wire_port(device)


def render(config: Config) -> str:
    """Return `config` as TOML for people: each setting with its meaning, defaults as comments."""
    parts = [_INTRODUCTION]
    for name in _SECTIONS:
        heading = f"{_HEADINGS[name]}\n[{name}]" if name in _HEADINGS else f"[{name}]"
        parts.append(render_section(getattr(config, name), heading))
    if config.nodes:
        parts.append("\n".join(render_plain(node, "[[node]]") for node in config.nodes))
    parts.append(_render_devices(config.devices))
    return "\n\n".join(parts)


def _render_devices(devices: tuple[DeviceConfig, ...]) -> str:
    introduction = "# Devices. docs/configuration.md tells what their settings mean.\n"
    return "\n".join([introduction, *(render_plain(device, "[[device]]") for device in devices)])
