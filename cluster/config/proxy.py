"""`[proxy]`: the HTTP front."""

from dataclasses import dataclass
from typing import Annotated

from cluster.config.units import DAY_S, GiB, KiB, MiB
from cluster.settings import Limits, Meaning


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
