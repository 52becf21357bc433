"""`[images]`: the image service, OpenStack's Glance."""

from dataclasses import dataclass
from typing import Annotated

from cluster.config.units import DAY_S
from cluster.settings import Choices, Limits, Meaning

UNLIMITED = -1
_COUNT = Limits(UNLIMITED, 2**53)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesConfig:
    """The image service."""

    enabled: Annotated[
        bool, Meaning("Whether it runs, where the identity service runs, too. It takes about 150 MB.")
    ] = True
    database: Annotated[
        str,
        Meaning(
            "SQLAlchemy URL of its database, such as postgresql+psycopg://USER:PASSWORD@HOST/NAME. Empty: images.db "
            "in the data directory, by SQLite."
        ),
    ] = ""
    public_url: Annotated[
        str,
        Meaning(
            "Where clients find it, without /v2, such as https://cloud.example:9292: links and the catalog have it. "
            "Empty: http, and the address and port of [ports]."
        ),
    ] = ""
    policy_file: Annotated[
        str,
        Meaning(
            "policy.yaml, in oslo.policy's format, relative to the data directory: rules that differ from the "
            "defaults. Empty: none do."
        ),
    ] = ""
    bucket: Annotated[
        str, Meaning("Bucket of the project `service` in which the data is. After a change nothing is found.")
    ] = "images"
    max_gib: Annotated[
        int, Meaning("GiB of one image. An upload that goes beyond is cut off."), Limits(1, 1024)
    ] = 1024
    max_virtual_gib: Annotated[
        int,
        Meaning(
            "GiB of the disk in one image: a file of a few KB can hold a disk of any size. Large: a volume that is "
            "made of such an image can fill the cluster."
        ),
        Limits(1, 65_536),
    ] = 2048
    volumes: Annotated[
        str,
        Meaning(
            "When an image is made a volume, which takes its size once more, and from which bootable volumes are "
            "cloned at once: at-once (as soon as the image is there) or on-demand (when the first volume is wanted)."
        ),
        Choices(("at-once", "on-demand")),
    ] = "at-once"
    importers: Annotated[int, Meaning("Imports at a time; others wait."), Limits(1, 32)] = 2
    web_download: Annotated[bool, Meaning("Whether users may have images fetched from URLs.")] = True
    web_hosts: Annotated[tuple[str, ...], Meaning("Hosts to fetch from, and no others. Empty: any.")] = ()
    web_refused_hosts: Annotated[tuple[str, ...], Meaning("Hosts that nothing is fetched from.")] = ()
    web_ports: Annotated[tuple[str, ...], Meaning("Ports to fetch from. Empty: any.")] = ("80", "443")
    web_private_addresses: Annotated[
        bool,
        Meaning(
            "Whether to fetch from addresses that are not the public Internet's, too. True: users can have this host "
            "ask whatever it reaches, and see what comes."
        ),
    ] = False
    size_limit_mib: Annotated[
        int, Meaning("MiB of all images of a project, unless it has a limit of its own; -1: any."), _COUNT
    ] = UNLIMITED
    stage_limit_mib: Annotated[
        int, Meaning("MiB of what a project has staged for imports; -1: any."), _COUNT
    ] = UNLIMITED
    count_limit: Annotated[int, Meaning("Images of a project; -1: any number."), _COUNT] = UNLIMITED
    uploading_limit: Annotated[
        int, Meaning("Images that a project brings in at the same time; -1: any number."), _COUNT
    ] = UNLIMITED
    kept_task_s: Annotated[
        float, Meaning("Time for which imports that are over are told of."), Limits(60, 365 * DAY_S)
    ] = 2 * DAY_S
    kept_deleted_s: Annotated[
        float,
        Meaning("Time for which the id of a deleted image is not given again."),
        Limits(0, 3650 * DAY_S),
    ] = 30 * DAY_S
    max_uploads: Annotated[
        int,
        Meaning(
            "Uploads and imports whose data comes at the same time; others wait. Each takes up to 10 MB of memory; of "
            "an image beyond 16 GiB 40 MB, beyond 140 GiB 300 MB."
        ),
        Limits(1, 10_000),
    ] = 64
    max_connections: Annotated[
        int, Meaning("Client connections at a time; more wait to be accepted."), Limits(8, 10_000)
    ] = 512
