"""Imports: staged and fetched data become an image's, or nothing does, whatever ends in between."""

from typing import Any

import pytest

from compute.errors import Unavailable
from compute.images import images, tasks
from compute.images.settings import Settings, WebDownload
from tests.unit.compute.images.formats import hostile
from tests.unit.compute.images.service import Service

URI = "http://images.example/disk.raw"
DIRECT = {"method": {"name": "glance-direct"}}
WEB = {"method": {"name": "web-download", "uri": URI}}
DATA = b"data of a disk" * 1000


def staged(service: Service, data: bytes = DATA, **attributes: Any) -> Any:
    image = service.ann.make(**attributes)
    service.ann.upload(image, data, to="stage")
    return image


def ask(service: Service, image: Any, request: Any = DIRECT, status: int = 202) -> Any:
    return service.ann.post(f"/v2/images/{image['id']}/import", request, status)


def done(service: Service) -> None:
    """Have all imports done that wait, however long."""
    for _ in range(tasks.ATTEMPTS):
        while service.importer.step():
            pass
        service.clock.pass_s(60)
        service.reaper.see()


def task_of(service: Service, image: Any) -> Any:
    (task,) = service.ann.get(f"/v2/images/{image['id']}/tasks")["tasks"]
    return task


def is_clean(service: Service) -> bool:
    """Tell whether nothing is left over."""
    service.reaper.step()
    return service.store.is_empty


def test_what_is_staged_becomes_the_image(service: Service) -> None:
    image = staged(service)
    assert service.ann.show(image)["status"] == "uploading"
    assert service.ann.download(image, 204).content == b""
    ask(service, image)
    shown = service.ann.show(image)
    assert (shown["status"], shown["os_glance_importing_to_stores"]) == ("importing", "objects")
    assert task_of(service, image)["status"] == "pending"
    done(service)
    shown = service.ann.show(image)
    assert (shown["status"], shown["size"], shown["stores"]) == ("active", len(DATA), "objects")
    assert service.ann.download(image).content == DATA
    assert len(service.store.objects) == 1


def test_the_task_tells_of_the_import(service: Service) -> None:
    image = staged(service)
    result = service.ann.request("POST", f"/v2/images/{image['id']}/import", DIRECT, 202)
    done(service)
    task = task_of(service, image)
    assert (task["status"], task["type"], task["owner"]) == ("success", "api_image_import", "ann-project")
    assert task["request_id"] == result.headers["x-openstack-request-id"]
    assert task["input"]["import_req"]["method"]["name"] == "glance-direct"
    assert task["result"] == {"image_id": image["id"]}
    service.ann.get("/v2/tasks", 403)
    assert [each["id"] for each in service.admin.get("/v2/tasks?status=success")["tasks"]] == [task["id"]]
    assert service.admin.get(f"/v2/tasks/{task['id']}")["image_id"] == image["id"]
    service.admin.get("/v2/tasks/other", 404)
    service.admin.get("/v2/tasks?status=odd", 400)
    service.clock.pass_s(3 * 24 * 3600)
    service.reaper.step()
    assert service.admin.get("/v2/tasks")["tasks"] == []


def test_tasks_come_in_pages(service: Service) -> None:
    for _ in range(3):
        ask(service, staged(service))
        service.clock.pass_s(1)
    first = service.admin.get("/v2/tasks?limit=2")
    second = service.admin.get(first["next"])
    assert len({each["id"] for each in (*first["tasks"], *second["tasks"])}) == 3


def test_what_is_not_what_it_says_fails_and_the_image_waits_for_better(service: Service) -> None:
    image = staged(service, hostile.qcow2(backing=512), disk_format="qcow2")
    ask(service, image)
    done(service)
    shown = service.ann.show(image)
    assert (shown["status"], shown["os_glance_failed_import"]) == ("queued", "objects")
    task = task_of(service, image)
    assert task["status"] == "failure"
    assert "backing" in task["message"]
    assert is_clean(service)
    service.ann.upload(image, hostile.qcow2().ljust(1 << 20, b"\0"))
    assert "os_glance_failed_import" not in service.ann.show(image)


def test_an_image_is_fetched(service: Service) -> None:
    service.web.pages[URI] = DATA
    image = service.ann.make()
    ask(service, image, WEB)
    done(service)
    assert service.ann.show(image)["status"] == "active"
    assert service.ann.download(image).content == DATA


def test_what_cannot_be_fetched_fails(service: Service) -> None:
    image = service.ann.make()
    ask(service, image, WEB)
    done(service)
    assert service.ann.show(image)["status"] == "queued"
    assert task_of(service, image)["message"] == "There is nothing."
    assert is_clean(service)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"method": {"name": "copy-image"}}, 400),
        ({"method": {}}, 400),
        ({}, 400),
        ({**DIRECT, "stores": ["other"]}, 400),
        ({**DIRECT, "stores": ["objects"], "all_stores": True}, 400),
        ({"method": {"name": "web-download"}}, 400),
        ({"method": {"name": "web-download", "uri": "file:///etc/passwd"}}, 400),
        ({"method": {"name": "web-download", "uri": "http://images.example:22/"}}, 400),
        (DIRECT, 409),
    ],
)
def test_what_cannot_be_imported_is_refused_at_once(service: Service, request_: Any, status: int) -> None:
    image = service.ann.make()
    ask(service, image, request_, status)
    assert service.ann.show(image)["status"] == "queued"
    service.bob.post(f"/v2/images/{image['id']}/import", WEB, 404)
    service.reader.post(f"/v2/images/{image['id']}/import", WEB, 403)


def test_the_states_in_which_there_is_something_to_import(service: Service) -> None:
    image = staged(service)
    ask(service, image, WEB, 409)
    ask(service, image, {**DIRECT, "stores": ["objects"]})
    ask(service, image, DIRECT, 409)
    service.ann.upload(image, b"x", 409, to="stage")
    done(service)
    ask(service, image, DIRECT, 409)
    formless = service.ann.make(disk_format=None)
    ask(service, formless, WEB, 409)


def test_without_web_downloads_there_is_one_method(tmp_path: Any) -> None:
    service = Service(tmp_path, Settings(goldens_at_once=False, web=WebDownload(enabled=False)))
    assert service.ann.get("/v2/info/import")["import-methods"]["value"] == ["glance-direct"]
    ask(service, service.ann.make(), WEB, 400)


def test_an_image_that_is_deleted_meanwhile_is_gone(service: Service) -> None:
    for request, image in ((DIRECT, staged(service)), (WEB, service.ann.make())):
        service.web.pages[URI] = DATA
        ask(service, image, request)
        service.ann.delete(f"/v2/images/{image['id']}")
        done(service)
        service.ann.show(image, 404)
    assert is_clean(service)


def test_an_image_that_is_deleted_while_it_is_fetched_is_gone(service: Service) -> None:
    image = service.ann.make()

    def fetch(_uri: str) -> Any:
        yield b"begin"
        service.ann.delete(f"/v2/images/{image['id']}")
        yield b"end"

    service.web.fetch = fetch  # type: ignore[method-assign, assignment]
    ask(service, image, WEB)
    done(service)
    assert is_clean(service)


# crashes
def claimed(service: Service) -> Any:
    """Have a worker take a task, and no more."""
    dock = service.dock
    return service.in_database(lambda connection: tasks.claim(connection, dock.worker_id, dock.clock_us()))


@pytest.mark.parametrize("request_", [DIRECT, WEB])
def test_an_import_whose_process_dies_is_done_by_the_next(service: Service, request_: Any) -> None:
    service.web.pages[URI] = DATA
    image = staged(service) if request_ is DIRECT else service.ann.make()
    ask(service, image, request_)
    task = claimed(service)
    if request_ is WEB:
        begun = service.in_database(lambda connection: service.importer._begin(connection, task))
        service.store.begin(begun.key).write(b"torn")
    service.restart()
    assert service.ann.show(image)["status"] == "importing"
    done(service)
    assert service.ann.show(image)["status"] == "active"
    service.reaper.step()
    assert service.ann.download(image).content == DATA
    assert len(service.store.objects) == 1
    assert not service.store.begun


def test_an_import_that_processes_die_of_fails_in_the_end(service: Service) -> None:
    image = staged(service)
    ask(service, image)
    for _ in range(tasks.ATTEMPTS):
        assert claimed(service) is not None
        assert claimed(service) is None
        service.restart()
        service.clock.pass_s(60)
    assert claimed(service) is None
    assert service.ann.show(image)["status"] == "queued"
    assert "interrupted" in task_of(service, image)["message"]
    assert is_clean(service)


def test_a_store_that_is_away_is_waited_for(service: Service) -> None:
    service.web.pages[URI] = DATA
    image = service.ann.make()
    ask(service, image, WEB)
    service.store.failing = {"finish"}
    assert service.importer.step()
    assert service.ann.show(image)["status"] == "importing"
    service.store.failing = set()
    done(service)
    assert service.ann.download(image).content == DATA


def test_a_store_that_stays_away_ends_the_import(service: Service) -> None:
    service.web.pages[URI] = DATA
    image = service.ann.make()
    ask(service, image, WEB)
    service.store.failing = {"finish"}
    done(service)
    assert service.ann.show(image)["status"] == "queued"
    assert task_of(service, image)["status"] == "failure"


def test_who_was_taken_for_dead_ends_nothing_of_the_next(service: Service) -> None:
    image = service.ann.make()
    ask(service, image, WEB)
    slow = service.importer

    def fetch(_uri: str) -> Any:
        yield b"slow"
        service.web.fetch = lambda _uri: iter([DATA])  # type: ignore[method-assign, assignment]
        service.restart()
        done(service)
        raise Unavailable("now the slow one fails")

    service.web.fetch = fetch  # type: ignore[method-assign, assignment]
    slow.step()
    assert service.ann.show(image)["status"] == "active"
    assert task_of(service, image)["status"] == "success"
    service.reaper.step()
    assert service.ann.download(image).content == DATA


def test_a_defect_of_ours_is_told_as_one(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    image = staged(service)
    ask(service, image)
    monkeypatch.setattr(images, "step", lambda *_arguments, **_named: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # the failure cannot be noted either
        service.importer.step()
    assert service.ann.show(image)["status"] == "importing"
    monkeypatch.undo()
    done(service)
    assert service.ann.show(image)["status"] == "active"
