"""`export` and `import`: volumes to files of images, and back, by qemu-img through the gateway's NBD socket.

Holes stay holes. A file or a volume that did not become whole is removed again. An image that names other files (a
backing file, a data file) is refused: whoever made it would choose which files of this host are read.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sh

from blockgw import client
from tools.data_directory import Cluster
from tools.errors import OperatorError
from tools.progress import Progress
from tools.volumes.asking import Answer, ask_gateway
from tools.volumes.showing import shown

FORMATS = ("raw", "qcow2", "vmdk")
SECTOR = 512
_PERCENT = re.compile(r"\(([0-9.]+)/100%\)")
_BAR_WIDTH = 30


def export(cluster: Cluster, arguments: argparse.Namespace) -> Answer:
    """Write a volume, or a snapshot, into a file that is not there yet."""
    path = Path(arguments.file)
    if path.exists():
        raise OperatorError(f"{path} is there already: choose another name, or remove it")
    name, _at, snapshot = arguments.name.partition("@")
    volume = ask_gateway(cluster, "show", name=name)["volume"]
    sizes = {each["name"]: each["size"] for each in volume["snapshots"]}
    if snapshot and snapshot not in sizes:
        raise OperatorError(f"{name} has no snapshot {snapshot}")
    size = sizes[snapshot] if snapshot else volume["size"]
    partial = path.with_name(path.name + ".partial")
    try:
        options = ("-f", "raw", "-O", arguments.format)
        _convert(f"exporting {arguments.name}", *options, uri_of(cluster, arguments.name), partial)
        found = inspect(partial, arguments.format)["virtual-size"]
        if found != size:
            raise OperatorError(f"the file came to {found} bytes, {arguments.name} has {size}: it is not kept")
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    return {"file": str(path), "format": arguments.format, "size": size, "stored": path.stat().st_blocks * 512}


def bring_in(cluster: Cluster, arguments: argparse.Namespace) -> Answer:
    """Make a volume of an image."""
    path = Path(arguments.file)
    if not path.exists():
        raise OperatorError(f"there is no {path}")
    about = inspect(path, arguments.format)
    others = _other_files(about)
    if others:
        raise OperatorError(f"{path} needs other files ({', '.join(others)}): make one of it with `qemu-img convert`")
    size = -(-about["virtual-size"] // SECTOR) * SECTOR
    ask_gateway(cluster, "create", name=arguments.name, size=size, description=f"imported from {path.name}")
    try:
        options = ("-n", "--target-is-zero", "-f", about["format"], "-O", "raw")
        _convert(f"importing {path.name}", *options, path, uri_of(cluster, arguments.name))
    except BaseException:
        ask_gateway(cluster, "delete", name=arguments.name)
        raise
    return ask_gateway(cluster, "show", name=arguments.name)


def export_shown(answer: Answer) -> list[str]:
    """Say what there is."""
    size, stored = shown(answer["size"]), shown(answer["stored"])
    return [f"{answer['file']}: {size}, {answer['format']}, takes {stored} of its disk"]


def uri_of(cluster: Cluster, name: str) -> str:
    """Return how clients of NBD on this host find a volume."""
    return client.uri_of(cluster.layout.nbd_socket(0), name)


def inspect(path: Path, format_: str | None) -> dict[str, Any]:
    """Return what qemu-img says of an image. Raise OperatorError."""
    options = ("-f", format_) if format_ else ()
    found: dict[str, Any] = json.loads(str(_qemu_img("info", "--output=json", *options, path)))
    if found["format"] not in FORMATS:
        raise OperatorError(f"{path} is of the format {found['format']}: use one of {', '.join(FORMATS)}")
    return found


def _other_files(about: dict[str, Any]) -> list[str]:
    specific = about.get("format-specific", {}).get("data", {})
    named = [about.get("backing-filename"), specific.get("data-file")]
    named += [each.get("filename") for each in specific.get("extents", ()) if each.get("filename") != about["filename"]]
    return [str(each) for each in named if each]


def _convert(what: str, *arguments: "str | Path") -> None:
    """Copy an image, and show how far that is."""
    with Progress() as progress:

        def heard(text: str) -> None:
            for percent in _PERCENT.findall(text)[-1:]:
                done = int(float(percent) / 100 * _BAR_WIDTH)
                progress.show(f"{what} [{'#' * done:<{_BAR_WIDTH}}] {float(percent):5.1f} %")

        _qemu_img("convert", "-p", "-m", "8", *arguments, _out=heard, _out_bufsize=0)


def _qemu_img(*arguments: "str | Path", **options: Any) -> Any:
    try:
        return sh.Command("qemu-img")(*arguments, **options)
    except sh.CommandNotFound as error:
        raise OperatorError("this takes qemu-img: install qemu-utils (Debian) or qemu-img (Fedora)") from error
    except sh.ErrorReturnCode as error:
        said: Sequence[str] = error.stderr.decode(errors="replace").strip().splitlines()
        raise OperatorError(said[-1] if said else f"qemu-img ended with {error.exit_code}") from error
