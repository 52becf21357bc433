"""Data of images: it comes, is digested and inspected, and goes out again, whole or in parts."""

import hashlib
import io
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from compute.errors import Gone, OverLimit
from compute.images import contents, images, uploads
from compute.images.contents import DATA
from compute.images.schema import contents as contents_table
from compute.images.settings import Quota, Settings
from compute.images.statuses import Status
from tests.unit.compute.images.service import OCTETS, Client, Service

BYTES = bytes(range(256)) * 40


def rows(service: Service) -> list[Any]:
    return list(service.in_database(lambda connection: connection.execute(select(contents_table)).all()))


def settle(service: Service) -> None:
    """Check that nothing is left, and that nothing is known of it in the end."""
    service.reaper.step()
    assert service.store.is_empty
    service.clock.pass_s(601)
    service.reaper.see()
    service.reaper.step()
    assert service.store.is_empty
    assert rows(service) == []


def test_an_upload_is_digested_and_comes_back(service: Service) -> None:
    image = service.ann.active(BYTES)
    assert image["status"] == "active"
    assert (image["size"], image["virtual_size"]) == (len(BYTES), len(BYTES))
    assert image["checksum"] == hashlib.md5(BYTES).hexdigest()
    assert image["os_hash_algo"] == "sha512"
    assert image["os_hash_value"] == hashlib.sha512(BYTES).hexdigest()
    result = service.ann.download(image)
    assert result.content == BYTES
    assert result.headers["content-md5"] == image["checksum"]
    assert result.headers["content-type"] == OCTETS
    assert service.ann.request("HEAD", f"/v2/images/{image['id']}/file", status=200).headers["content-length"] == str(
        len(BYTES)
    )


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [("bytes=0-9", 0, 10), ("bytes=5-", 5, 10_240), ("bytes=-7", 10_233, 10_240), ("bytes=10000-99999", 10_000, 10_240),
     ("bytes=-99999", 0, 10_240)],
)
def test_a_part_is_sent_when_it_is_asked_for(service: Service, asked: str, begin: int, end: int) -> None:
    result = service.ann.download(service.ann.active(BYTES), 206, Range=asked)
    assert result.content == BYTES[begin:end]
    assert result.headers["content-range"] == f"bytes {begin}-{end - 1}/{len(BYTES)}"
    assert result.headers["content-length"] == str(end - begin)
    assert "content-md5" not in result.headers


@pytest.mark.parametrize(
    "asked", ["bytes=10240-", "bytes=9-8", "bytes=-", "bytes=0-1,4-5", "items=0-1", "bytes=a-b", "bytes=-0"]
)
def test_a_part_that_there_is_not_is_refused(service: Service, asked: str) -> None:
    result = service.ann.download(service.ann.active(BYTES), 416, Range=asked)
    assert result.headers["content-range"] == "bytes */10240"


def test_an_image_without_data_has_no_content(service: Service) -> None:
    image = service.ann.make()
    assert service.ann.download(image, 204).content == b""
    service.nobody.download(image, 401)


def test_an_empty_image_is_one(service: Service) -> None:
    image = service.ann.active(b"")
    assert (image["status"], image["size"]) == ("active", 0)
    assert service.ann.download(image).content == b""
    service.ann.download(image, 416, Range="bytes=0-")


def test_data_comes_once(service: Service) -> None:
    image = service.ann.active(BYTES)
    assert "transition from active to saving" in service.ann.upload(image, b"other", 409)["message"]
    assert service.ann.download(image).content == BYTES
    assert len(service.store.objects) == 1


def test_data_must_be_called_so(service: Service) -> None:
    image = service.ann.make()
    service.ann.request("PUT", f"/v2/images/{image['id']}/file", status=415, body=b"x",
                        headers={"Content-Type": "text/plain"})
    assert service.ann.show(image)["status"] == "queued"


def test_a_size_that_is_announced_must_come(service: Service) -> None:
    image = service.ann.make()
    service.ann.upload(image, b"x", 400, **{"X-OpenStack-Image-Size": "2"})
    service.ann.upload(image, b"x", 400, **{"X-OpenStack-Image-Size": "many"})
    assert service.ann.show(image)["status"] == "queued"
    service.ann.upload(image, b"x", 204, **{"X-OpenStack-Image-Size": "1"})


class Broken(io.BytesIO):
    """A body that breaks off."""

    def __init__(self, data: bytes, error: Exception | None) -> None:
        super().__init__()
        self._pieces = [data]
        self._error = error

    def read(self, _size: int | None = -1) -> bytes:
        if self._pieces:
            return self._pieces.pop()
        if self._error:
            raise self._error
        return b""


def put(client: Client, image: Any, body: Any, **environ: str) -> Any:
    """Send a body as a server hands it in."""
    extra = {"wsgi.input": body, "CONTENT_TYPE": OCTETS, **environ}
    return client.request("PUT", f"/v2/images/{image['id']}/file", extras=extra, headers={"Content-Type": OCTETS})


@pytest.mark.parametrize("error", [None, OSError("gone"), ValueError("no chunk"), TimeoutError()])
def test_a_body_that_breaks_off_leaves_nothing(service: Service, error: Exception | None) -> None:
    image = service.ann.make()
    result = put(service.ann, image, Broken(b"begin", error), CONTENT_LENGTH="10")
    assert result.status_code == 400
    assert service.ann.show(image)["status"] == "queued"
    assert service.store.is_empty
    assert rows(service) == []
    service.ann.upload(image, b"again")
    assert service.ann.download(image).content == b"again"


def test_chunked_bodies_are_taken(service: Service) -> None:
    image = service.ann.make()
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    result = put(service.ann, image, Broken(b"chunks", None), **environ)
    assert result.status_code == 204, result.text
    assert service.ann.download(image).content == b"chunks"


@pytest.mark.parametrize("what", ["begin", "write", "finish"])
def test_a_store_that_fails_leaves_a_queued_image(service: Service, what: str) -> None:
    image = service.ann.make()
    service.store.failing = {what}
    service.ann.upload(image, BYTES, 503)
    assert service.ann.show(image)["status"] == "queued"
    service.store.failing = set()
    settle(service)
    service.ann.upload(image, BYTES)


def test_what_cannot_be_removed_now_is_removed_later(service: Service) -> None:
    image = service.ann.make()
    service.store.failing = {"finish", "remove"}
    service.ann.upload(image, BYTES, 503)
    assert service.ann.show(image)["status"] == "queued"
    assert not service.store.is_empty
    service.store.failing = set()
    settle(service)


def test_a_store_that_does_not_read_is_told_before_the_answer_begins(service: Service) -> None:
    image = service.ann.active(BYTES)
    service.store.failing = {"read"}
    result = service.ann.download(image, 503)
    assert result.json["title"] == "Service Unavailable"
    assert "content-md5" not in result.headers


def test_an_image_that_is_deleted_while_data_comes_gets_none(service: Service) -> None:
    """Glance answers 410, and so do we."""
    image = service.ann.make()

    class Deleting(Broken):
        def read(self, size: int | None = -1) -> bytes:
            if not self._pieces:
                service.ann.delete(f"/v2/images/{image['id']}")
                self.read = lambda size=-1: b""  # type: ignore[method-assign]
                return b"more"
            return super().read(size)

    result = put(service.ann, image, Deleting(b"begin", None), HTTP_TRANSFER_ENCODING="chunked", CONTENT_LENGTH="")
    assert result.status_code == 410
    service.ann.show(image, 404)
    settle(service)


# crashes: a process ends between any two steps, and another begins in its place
def begun(service: Service, image: Any, status: Status = Status.SAVING, purpose: str = DATA) -> uploads.Begun:
    def work(connection: Any) -> uploads.Begun:
        found = images.get(connection, image["id"])
        return uploads.begin(connection, service.dock, found, status, purpose, None)

    result: uploads.Begun = service.in_database(work)
    return result


@pytest.mark.parametrize("point", ["announced", "begun", "written", "finished"])
@pytest.mark.parametrize(("status", "purpose"), [(Status.SAVING, "data"), (Status.UPLOADING, "staged")])
def test_a_kill_undoes_what_was_not_whole(service: Service, point: str, status: Status, purpose: str) -> None:
    image = service.ann.make()
    upload = begun(service, image, status, purpose)
    if point != "announced":
        writing = service.store.begin(upload.key)
        if point != "begun":
            writing.write(BYTES)
        if point == "finished":
            writing.finish()
    service.restart()
    assert service.ann.show(image)["status"] == "queued"
    settle(service)
    service.ann.upload(image, BYTES)
    assert service.ann.download(image).content == BYTES


def test_what_a_killed_process_had_asked_of_the_store_may_come_late(service: Service) -> None:
    image = service.ann.make()
    upload = begun(service, image)
    service.restart()
    service.reaper.step()
    service.store.objects[upload.key] = BYTES  # the store has only now got round to it
    settle(service)


def test_a_kill_after_the_last_transaction_leaves_the_image_whole(service: Service) -> None:
    image = service.ann.active(BYTES)
    service.restart()
    service.reaper.step()
    assert service.ann.download(image).content == BYTES


def test_a_kill_after_a_deletion_still_removes_the_object(service: Service) -> None:
    image = service.ann.active(BYTES)
    service.ann.delete(f"/v2/images/{image['id']}")
    service.restart()
    settle(service)


def test_who_was_taken_for_dead_gives_nobody_data(service: Service) -> None:
    image = service.ann.make()
    slow = service.dock
    upload = begun(service, image)
    service.restart()
    with pytest.raises(Gone):
        uploads.upload(slow, upload, iter([BYTES]), None)
    assert service.ann.show(image)["status"] == "queued"
    service.reaper.step()
    assert service.store.is_empty


def test_who_may_only_be_slow_is_given_time_and_cleaned_up_after(service: Service) -> None:
    """On another host: it is believed to be dead, and may yet finish the object."""
    image = service.ann.make()
    upload = begun(service, image)
    service.restart("elsewhere")
    service.reaper.step()
    assert service.ann.show(image)["status"] == "saving"
    service.clock.pass_s(300)
    service.reaper.step()
    assert service.ann.show(image)["status"] == "queued"
    service.store.objects[upload.key] = BYTES  # the slow one goes on, and is killed after that
    service.reaper.step()
    assert service.store.is_empty
    assert len(rows(service)) == 1
    service.clock.pass_s(2 * 3600)
    service.reaper.step()
    assert rows(service) == []


def test_a_late_one_does_not_disturb_the_next_upload(service: Service) -> None:
    image = service.ann.make()
    slow = service.dock
    upload = begun(service, image)
    service.restart()
    service.ann.upload(image, b"the next")
    with pytest.raises(Gone):
        uploads.upload(slow, upload, iter([BYTES]), None)
    assert service.ann.show(image)["status"] == "active"
    service.reaper.step()
    assert service.ann.download(image).content == b"the next"
    assert len(service.store.objects) == 1


def test_when_the_answer_to_a_commit_is_lost_the_data_stays(service: Service) -> None:
    image = service.ann.make()
    upload = begun(service, image)
    uploads.upload(service.dock, upload, iter([BYTES]), None)
    uploads.undo(service.dock, upload.key)  # as who got no answer does
    assert service.ann.download(image).content == BYTES
    assert service.ann.show(image)["status"] == "active"


# limits
def service_with(tmp_path: Any, **quota: int) -> Service:
    settings = Settings(goldens_at_once=False, max_size=3 << 20, quota=Quota(**quota))
    return Service(tmp_path, settings)


MIB = bytes(1 << 20)


def chunked(client: Client, image: Any, pieces: Iterator[bytes]) -> int:
    class Body(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            return next(pieces, b"")

    result = put(client, image, Body(), HTTP_TRANSFER_ENCODING="chunked", CONTENT_LENGTH="")
    return int(result.status_code)


def test_an_image_that_is_too_large_is_cut_off(tmp_path: Any) -> None:
    service = service_with(tmp_path)
    image = service.ann.make()
    service.ann.upload(image, MIB * 4, 413)
    assert chunked(service.ann, image, iter([MIB] * 1000)) == 413
    assert service.ann.show(image)["status"] == "queued"
    service.reaper.step()
    assert service.store.is_empty


def test_a_project_has_no_more_than_it_may(tmp_path: Any) -> None:
    service = service_with(tmp_path, size_total_mib=2, count_total=3)
    service.ann.active(MIB)
    image = service.ann.make()
    service.ann.upload(image, MIB + b"x", 413)
    assert chunked(service.ann, image, iter([MIB, b"x"])) == 413
    service.ann.upload(image, MIB)
    last = service.ann.make()
    service.ann.post("/v2/images", {}, 413)
    service.ann.upload(last, b"x", 413)
    service.bob.active(MIB)
    usage = service.ann.get("/v2/info/usage")["usage"]
    assert usage["image_size_total"] == {"limit": 2, "usage": 2}
    assert usage["image_count_total"] == {"limit": 3, "usage": 3}
    assert usage["image_count_uploading"] == {"limit": -1, "usage": 0}


def test_what_two_uploads_bring_together_is_within_the_limit(tmp_path: Any) -> None:
    service = service_with(tmp_path, size_total_mib=2)
    first, second = service.ann.make(), service.ann.make()
    slow = begun(service, first)
    service.ann.upload(second, MIB + b"x")
    with pytest.raises(OverLimit):
        uploads.upload(service.dock, slow, iter([MIB]), None)
    assert service.ann.show(first)["status"] == "queued"


def test_uploads_at_the_same_time_are_counted(tmp_path: Any) -> None:
    service = service_with(tmp_path, count_uploading=1, stage_total_mib=1)
    first, second = service.ann.make(), service.ann.make()
    service.ann.upload(first, MIB, to="stage")
    service.ann.upload(second, b"x", 413)
    usage = service.ann.get("/v2/info/usage")["usage"]
    assert usage["image_count_uploading"] == {"limit": 1, "usage": 1}
    assert usage["image_stage_total"] == {"limit": 1, "usage": 1}
    service.ann.delete(f"/v2/images/{first['id']}")
    service.ann.upload(second, b"x")


def test_an_administrator_gives_a_project_limits_of_its_own(tmp_path: Any) -> None:
    service = service_with(tmp_path, count_total=1)
    service.ann.make()
    service.ann.post("/v2/images", {}, 413)
    path = "/v2/info/usage/ann-project"
    service.ann.put(path, {"image_count_total": 2}, 403)
    assert service.admin.put(path, {"image_count_total": 2}, 200)["usage"]["image_count_total"]["limit"] == 2
    service.ann.make()
    assert service.ann.get(path)["usage"]["image_count_total"] == {"limit": 2, "usage": 2}
    service.bob.get(path, 403)
    service.admin.put(path, {"image_count_total": None}, 200)
    service.admin.put(path, {"other": 1}, 400)
    assert service.ann.get(path)["usage"]["image_count_total"]["limit"] == 1


def test_the_state_of_contents_is_what_the_module_says(service: Service) -> None:
    service.ann.active(BYTES)
    (row,) = rows(service)
    assert (row.state, row.purpose, row.size) == (contents.WHOLE, contents.DATA, len(BYTES))
