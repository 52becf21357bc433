"""Limits are exact, whoever asks how many times at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from compute.images.settings import Quota, Settings
from tests.unit.compute.images.service import Service

MiB = 1 << 20
AT_ONCE = 50


def limited(directory: Path, **quota: int) -> Service:
    return Service(directory, Settings(goldens_at_once=False, quota=Quota(**quota)))


def usage(service: Service) -> Any:
    told = service.ann.get("/v2/info/usage")["usage"]
    return {name: each["usage"] for name, each in told.items()}


def test_fifty_creations_at_once_get_what_there_is(tmp_path: Path) -> None:
    service = limited(tmp_path, count_total=7)

    def ask(_number: int) -> int:
        document = {"name": "an image", "disk_format": "raw", "container_format": "bare"}
        return service.ann.request("POST", "/v2/images", document).status_code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, range(AT_ONCE)))
    assert (answers.count(201), answers.count(413)) == (7, AT_ONCE - 7), answers
    assert usage(service)["image_count_total"] == len(service.ann.ids("limit=100")) == 7


def test_fifty_uploads_at_once_get_what_there_is(tmp_path: Path) -> None:
    service = limited(tmp_path, size_total_mib=5)
    images = [service.ann.make() for _ in range(AT_ONCE)]

    def upload(image: Any) -> int:
        body, headers = b"." * MiB, {"Content-Type": "application/octet-stream"}
        path = f"/v2/images/{image['id']}/file"
        return service.ann.request("PUT", path, body=body, headers=headers).status_code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(upload, images))
    assert (answers.count(204), answers.count(413)) == (5, AT_ONCE - 5), answers
    assert usage(service)["image_size_total"] == 5
    assert len(service.ann.ids("status=active&limit=100")) == 5
    service.reaper.step()
    assert len(service.store.objects) == 5
