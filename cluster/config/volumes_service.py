"""`[volumes]`: the volume service, OpenStack's Cinder."""

from dataclasses import dataclass
from typing import Annotated

from cluster.settings import Limits, Meaning

_QUOTA = Limits(-1, 2_147_483_647)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumesConfig:
    """The volume service."""

    enabled: Annotated[
        bool,
        Meaning("Whether it runs, where the identity service and a block gateway do. It takes about 150 MB."),
    ] = True
    database: Annotated[
        str,
        Meaning(
            "SQLAlchemy URL of its database, such as postgresql+psycopg://USER:PASSWORD@HOST/NAME. Empty: volumes.db "
            "in the data directory, by SQLite."
        ),
    ] = ""
    public_url: Annotated[
        str,
        Meaning(
            "Where clients find it, without /v3, such as https://cloud.example:8776: links and the catalog have it. "
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
    availability_zone: Annotated[str, Meaning("Name of the one availability zone.")] = "nova"
    backup_place: Annotated[
        str,
        Meaning(
            "Where backups go: s3://BUCKET/PREFIX or swift://CONTAINER/PREFIX; projects have folders there. The "
            "default is in the cluster itself: what loses the cluster loses them, too."
        ),
    ] = "s3://volume-backups"
    backup_endpoint: Annotated[
        str,
        Meaning("URL of the S3 of backup_place, or of what gives tokens for its Swift. Empty: the cluster's own S3."),
    ] = ""
    backup_login: Annotated[
        str,
        Meaning(
            "File with the variables, NAME=VALUE, by which backup_place lets the service in (AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY …), relative to the data directory. Empty: the service's own key of this cluster."
        ),
    ] = ""
    operations: Annotated[
        int,
        Meaning("Operations at a time: each a volume that is made, deleted, backed up. Large: more load on devices."),
        Limits(1, 64),
    ] = 8
    quota_volumes: Annotated[
        int, Meaning("Volumes of a project that has no quota of its own; -1: any number."), _QUOTA
    ] = 10
    quota_snapshots: Annotated[int, Meaning("The same of snapshots."), _QUOTA] = 10
    quota_gigabytes: Annotated[int, Meaning("The same of GiB, of volumes and snapshots together."), _QUOTA] = 1000
    quota_volume_gigabytes: Annotated[int, Meaning("The same of GiB of a single volume."), _QUOTA] = -1
    quota_backups: Annotated[int, Meaning("The same of backups."), _QUOTA] = 10
    quota_backup_gigabytes: Annotated[int, Meaning("The same of GiB of backups."), _QUOTA] = 1000
    max_connections: Annotated[
        int, Meaning("Client connections at a time; more wait to be accepted."), Limits(8, 10_000)
    ] = 512
