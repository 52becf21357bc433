"""An operation that is killed anywhere is completed, or undone, by the next process: nothing is left over, nothing is
lost, nothing stays in a passing state."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compute.operations import journal
from compute.stored import Refused
from compute.volumes.audit import Audit
from compute.volumes.reconciler import Reconciler
from tests.unit.compute.crashes import Crash
from tests.unit.compute.volumes.service import Client, Service

Check = Callable[[Service], None]
Scenario = Callable[[Service], Check]  # begins an operation; returns what is to be so in the end


def volume_with_data(service: Service, **attributes: Any) -> Any:
    volume = service.member.make_volume(**attributes)
    service.gateway.volumes[f"volume-{volume['id']}"].data = b"first"
    return volume


def begin_volume(service: Service, **attributes: Any) -> str:
    attributes.setdefault("size", 1)
    return str(service.member.post("/volumes", {"volume": attributes})["volume"]["id"])


def has(volume_id: str, data: bytes, **shown: Any) -> Check:
    def check(service: Service) -> None:
        document = service.member.volume(volume_id)
        assert document["status"] == "available"
        assert {name: document[name] for name in shown} == shown
        stored = service.gateway.volumes[f"volume-{volume_id}"]
        assert stored.data == data
        assert stored.size == document["size"] << 30

    return check


def gone(path: str) -> Check:
    return lambda service: service.member.get(path, 404)


def an_empty_volume(service: Service) -> Check:
    return has(begin_volume(service), b"")


def a_volume_of_a_snapshot(service: Service) -> Check:
    snapshot = service.member.make_snapshot(volume_with_data(service)["id"])
    return has(begin_volume(service, snapshot_id=snapshot["id"], size=3), b"first", size=3)


def a_volume_of_a_volume(service: Service) -> Check:
    return has(begin_volume(service, source_volid=volume_with_data(service)["id"], size=2), b"first", size=2)


def a_volume_of_an_image(service: Service) -> Check:
    return has(begin_volume(service, imageRef=service.images.put()), b"image", bootable="true")


def an_encrypted_volume_of_an_image(service: Service) -> Check:
    kind = service.admin.post("/types", {"volume_type": {"name": "sealed"}}, 200)["volume_type"]
    encryption = {"encryption": {"provider": "luks", "control_location": "back-end"}}
    service.admin.post(f"/types/{kind['id']}/encryption", encryption, 200)
    return has(begin_volume(service, imageRef=service.images.put(), volume_type="sealed"), b"image", encrypted=True)


def a_volume_with_limits(service: Service) -> Check:
    make_limited_type(service)
    volume_id = begin_volume(service, volume_type="slow")

    def check(service: Service) -> None:
        has(volume_id, b"")(service)
        assert service.gateway.volumes[f"volume-{volume_id}"].limits["iops"] == 50

    return check


def a_deletion(service: Service) -> Check:
    volume = volume_with_data(service)
    service.member.delete(f"/volumes/{volume['id']}")
    return gone(f"/volumes/{volume['id']}")


def a_deletion_with_snapshots_and_a_clone(service: Service) -> Check:
    volume = volume_with_data(service)
    snapshot = service.member.make_snapshot(volume["id"])
    clone = service.member.make_volume(snapshot_id=snapshot["id"])
    service.member.delete(f"/volumes/{volume['id']}?cascade=true")

    def check(service: Service) -> None:
        service.member.get(f"/volumes/{volume['id']}", 404)
        service.member.get(f"/snapshots/{snapshot['id']}", 404)
        has(clone["id"], b"first")(service)

    return check


def a_snapshot(service: Service) -> Check:
    volume = volume_with_data(service)
    document = {"snapshot": {"volume_id": volume["id"]}}
    snapshot_id = service.member.post("/snapshots", document)["snapshot"]["id"]

    def check(service: Service) -> None:
        assert service.member.get(f"/snapshots/{snapshot_id}")["snapshot"]["status"] == "available"
        assert f"snapshot-{snapshot_id}" in service.gateway.volumes[f"volume-{volume['id']}"].snapshots

    return check


def a_deletion_of_a_snapshot(service: Service) -> Check:
    snapshot = service.member.make_snapshot(volume_with_data(service)["id"])
    service.member.delete(f"/snapshots/{snapshot['id']}")
    return gone(f"/snapshots/{snapshot['id']}")


def a_deletion_of_a_snapshot_with_a_clone(service: Service) -> Check:
    snapshot = service.member.make_snapshot(volume_with_data(service)["id"])
    service.member.make_volume(snapshot_id=snapshot["id"])
    service.member.delete(f"/snapshots/{snapshot['id']}")
    return gone(f"/snapshots/{snapshot['id']}")


def an_extension(service: Service) -> Check:
    volume = volume_with_data(service)
    service.member.act(volume["id"], "os-extend", {"new_size": 4})
    return has(volume["id"], b"first", size=4)


def a_reversion(service: Service) -> Check:
    volume = volume_with_data(service)
    snapshot = service.member.make_snapshot(volume["id"])
    service.gateway.volumes[f"volume-{volume['id']}"].data = b"second"
    service.member.act(volume["id"], "revert", {"snapshot_id": snapshot["id"]})
    return has(volume["id"], b"first")


def a_retyping(service: Service) -> Check:
    volume = volume_with_data(service)
    make_limited_type(service)
    service.member.act(volume["id"], "os-retype", {"new_type": "slow"})

    def check(service: Service) -> None:
        has(volume["id"], b"first", volume_type="slow")(service)
        assert service.gateway.volumes[f"volume-{volume['id']}"].limits["iops"] == 50

    return check


def an_upload(service: Service) -> Check:
    volume = volume_with_data(service)
    told = service.member.act(volume["id"], "os-volume_upload_image", {"image_name": "mine"})
    image_id = told["os-volume_upload_image"]["image_id"]

    def check(service: Service) -> None:
        has(volume["id"], b"first")(service)
        assert service.images.data == {image_id: b"first"}

    return check


def a_reimaging(service: Service) -> Check:
    volume = volume_with_data(service)
    service.member.act(volume["id"], "os-reimage", {"image_id": service.images.put()})
    return has(volume["id"], b"image", bootable="true")


def a_backup(service: Service) -> Check:
    volume = volume_with_data(service)
    backup_id = service.member.post("/backups", {"backup": {"volume_id": volume["id"]}})["backup"]["id"]

    def check(service: Service) -> None:
        has(volume["id"], b"first")(service)
        assert service.member.get(f"/backups/{backup_id}")["backup"]["status"] == "available"
        assert list(service.archive.backups.values()) == [b"first"]

    return check


def a_backup_of_a_snapshot(service: Service) -> Check:
    volume = volume_with_data(service)
    snapshot = service.member.make_snapshot(volume["id"])
    service.gateway.volumes[f"volume-{volume['id']}"].data = b"second"
    document = {"backup": {"volume_id": volume["id"], "snapshot_id": snapshot["id"]}}
    backup_id = service.member.post("/backups", document)["backup"]["id"]

    def check(service: Service) -> None:
        assert service.member.get(f"/backups/{backup_id}")["backup"]["status"] == "available"
        assert service.member.get(f"/snapshots/{snapshot['id']}")["snapshot"]["status"] == "available"
        assert list(service.archive.backups.values()) == [b"first"]

    return check


def a_deletion_of_a_backup(service: Service) -> Check:
    backup = service.member.make_backup(volume_with_data(service)["id"])
    service.member.delete(f"/backups/{backup['id']}")

    def check(service: Service) -> None:
        service.member.get(f"/backups/{backup['id']}", 404)
        assert service.archive.backups == {}

    return check


def a_restore_to_a_new_volume(service: Service) -> Check:
    backup = service.member.make_backup(volume_with_data(service)["id"])
    told = service.member.post(f"/backups/{backup['id']}/restore", {"restore": {}})["restore"]

    def check(service: Service) -> None:
        has(told["volume_id"], b"first")(service)
        assert service.member.get(f"/backups/{backup['id']}")["backup"]["status"] == "available"

    return check


def a_restore_to_its_volume(service: Service) -> Check:
    volume = volume_with_data(service)
    backup = service.member.make_backup(volume["id"])
    service.gateway.volumes[f"volume-{volume['id']}"].data = b"second"
    service.member.post(f"/backups/{backup['id']}/restore", {"restore": {"volume_id": volume["id"]}})
    return has(volume["id"], b"first")


def a_forced_detachment(service: Service) -> Check:
    volume = volume_with_data(service)
    server = {"volume_uuid": volume["id"], "instance_uuid": "11111111-1111-1111-1111-111111111111"}
    document = {"attachment": {**server, "connector": {"host": "gone"}}}
    attachment = service.member.post("/attachments", document, 200)["attachment"]
    service.worker.hasten = lambda _operation_id: None  # type: ignore[method-assign]  # it is killed before
    service.admin.act(volume["id"], "os-force_detach", {"attachment_id": attachment["id"]})

    def check(service: Service) -> None:
        has(volume["id"], b"first")(service)
        assert set(service.gateway.dismissed) == {(f"volume-{volume['id']}", attachment["id"])}
        service.member.post("/attachments", document, 200)
        service.member.act(volume["id"], "os-reserve", status=400)

    return check


SCENARIOS: tuple[Scenario, ...] = (
    an_empty_volume,
    a_volume_of_a_snapshot,
    a_volume_of_a_volume,
    a_volume_of_an_image,
    an_encrypted_volume_of_an_image,
    a_volume_with_limits,
    a_deletion,
    a_deletion_with_snapshots_and_a_clone,
    a_snapshot,
    a_deletion_of_a_snapshot,
    a_deletion_of_a_snapshot_with_a_clone,
    an_extension,
    a_reversion,
    a_retyping,
    an_upload,
    a_reimaging,
    a_backup,
    a_backup_of_a_snapshot,
    a_deletion_of_a_backup,
    a_restore_to_a_new_volume,
    a_restore_to_its_volume,
    a_forced_detachment,
)


def make_limited_type(service: Service) -> None:
    qos = {"qos_specs": {"name": "slow", "consumer": "back-end", "total_iops_sec": "50"}}
    qos_id = service.admin.post("/qos-specs", qos, 200)["qos_specs"]["id"]
    type_id = service.admin.post("/types", {"volume_type": {"name": "slow"}}, 200)["volume_type"]["id"]
    service.admin.get(f"/qos-specs/{qos_id}/associate?vol_type_id={type_id}", 202)


def require_order(service: Service) -> None:
    """Check that the database and the gateway agree, and that what was to go has gone in the end."""
    assert service.operations() == []
    assert Audit(service.database, service.gateway, service.clock).differences() == []
    reconciler = Reconciler(service.database, service.gateway)
    for _ in range(3):
        reconciler.step()
    for name, stored in service.gateway.volumes.items():
        assert not stored.trashed, name
        kept = [each for each in stored.snapshots if each.startswith(("clone-", "upload-"))]
        assert not kept, (name, kept)
    assert Audit(service.database, service.gateway, service.clock).differences() == []


def usage(client: Client) -> Any:
    told = client.get(f"/os-quota-sets/{client.project_id}?usage=true")["quota_set"]
    return {name: (each["in_use"], each["reserved"]) for name, each in told.items() if isinstance(each, dict)}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_what_is_killed_is_completed_by_the_next_process(tmp_path: Path, scenario: Scenario) -> None:
    (tmp_path / "whole").mkdir()
    service = Service(tmp_path / "whole")
    check = scenario(service)
    before = service.wire.calls
    service.work()
    calls = service.wire.calls - before
    assert calls
    check(service)
    require_order(service)
    whole = usage(service.member)
    for point in range(calls):
        (tmp_path / str(point)).mkdir()
        service = Service(tmp_path / str(point))
        check = scenario(service)
        service.wire.kill_before(point)
        with pytest.raises(Crash):
            service.work()
        service.wire.begin_anew()
        service.worker = service.new_worker()
        service.settle()
        check(service)
        require_order(service)
        assert usage(service.member) == whole


@pytest.mark.parametrize(
    "scenario",
    [each for each in SCENARIOS if each is not a_forced_detachment],  # which goes on until it is done
    ids=lambda each: each.__name__,
)
def test_what_is_refused_leaves_nothing_and_says_so(tmp_path: Path, scenario: Scenario) -> None:
    service = Service(tmp_path)
    scenario(service)
    service.wire.failures = [Refused("it does not want to")]
    service.settle()
    require_statuses(service)
    assert service.member.get("/messages")["messages"][0]["user_message"].endswith("it does not want to")


def require_statuses(service: Service) -> None:
    assert service.operations() == []
    for name in ("volumes", "snapshots", "backups"):
        for each in service.member.get(f"/{name}/detail")[name]:
            assert each["status"] in ("available", "error", "error_deleting", "error_extending", "error_restoring")
    for each in service.member.get("/volumes/detail")["volumes"]:
        stored = service.gateway.volumes.get(f"volume-{each['id']}")
        assert each["status"] != "available" or (stored is not None and not stored.trashed)
    used = usage(service.member)
    assert all(reserved == 0 for _in_use, reserved in used.values())


def test_a_failure_that_is_killed_stays_a_failure(tmp_path: Path) -> None:
    service = Service(tmp_path)
    volume_id = begin_volume(service, imageRef=service.images.put())
    service.images.images.clear()  # it was deleted meanwhile
    service.wire.kill_before(3)  # when it is cleared up: after the claim, the refusal, and the note of it
    with pytest.raises(Crash):
        service.work()
    service.wire.begin_anew()
    (left,) = service.operations()
    assert left.step == journal.FAILING
    service.images.put()
    service.worker = service.new_worker()
    service.settle()
    assert service.member.volume(volume_id)["status"] == "error"
    require_order(service)
    service.member.delete(f"/volumes/{volume_id}")
    service.settle()
    service.member.get(f"/volumes/{volume_id}", 404)
