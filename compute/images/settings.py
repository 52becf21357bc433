"""How the image service behaves: per field a default, a unit, and what extremes do."""

from dataclasses import dataclass, field

GiB = 1 << 30
TiB = 1 << 40
UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class Quota:
    """What a project may have unless an administrator says otherwise; UNLIMITED: any amount."""

    size_total_mib: int = UNLIMITED  # of all images with data
    stage_total_mib: int = UNLIMITED  # of what is staged
    count_total: int = UNLIMITED  # images
    count_uploading: int = UNLIMITED  # at the same time


@dataclass(frozen=True, slots=True)
class WebDownload:
    """From where images may be fetched. Lists that are empty allow all that is not forbidden."""

    enabled: bool = True
    schemes: tuple[str, ...] = ("http", "https")
    ports: tuple[int, ...] = (80, 443)
    hosts: tuple[str, ...] = ()  # if there are any: these only
    refused_hosts: tuple[str, ...] = ()
    private_addresses: bool = False  # networks that are not the public Internet's; true lets users look around in ours
    redirects: int = 3
    timeout_s: float = 30.0  # for the next bytes
    total_s: float = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it."""

    public_url: str = ""  # what links begin with; empty: the address that the client used
    max_size: int = 1 * TiB  # bytes of one image; an upload that goes beyond is cut off
    max_virtual_size: int = 2 * TiB  # bytes of the disk in one: a small file can hold a large one
    max_properties: int = 128  # of one image
    max_tags: int = 128
    max_members: int = 128
    page_default: int = 25  # images of a listing that asks for no number
    page_limit: int = 1000  # whatever it asks for
    kept_task_s: int = 48 * 3600  # for which imports that are over are told of
    kept_deleted_s: int = 30 * 24 * 3600  # for which the id of a deleted image is not given again
    importers: int = 2  # imports at a time
    goldens_at_once: bool = True  # make a volume of each image as soon as it is there; false: when one is asked for
    quota: Quota = field(default_factory=Quota)
    web: WebDownload = field(default_factory=WebDownload)
