"""What the volume service answers, and what that means to servers."""

from collections.abc import Iterator

import pytest

from compute.asking import ServiceLogin
from compute.instances.outside.volume_service import VolumeService
from compute.stored import InUse, Refused, Unreachable
from tests.unit.compute.fake_services import FakeServices

VOLUME_ID = "12345678-1234-1234-1234-123456789abc"
PATH = f"/volumes/{VOLUME_ID}"


@pytest.fixture
def services() -> Iterator[FakeServices]:
    made = FakeServices()
    yield made
    made.close()


@pytest.fixture
def volumes(services: FakeServices) -> VolumeService:
    return VolumeService(services.url, ServiceLogin(f"{services.url}/v3", "compute", "secret"))


def volume(status: str) -> dict[str, object]:
    return {"volume": {"id": VOLUME_ID, "name": "root", "status": status, "size": 1, "bootable": "true"}}


def test_a_volume_that_goes_with_its_server_is_deleted_and_may_be_gone(
    volumes: VolumeService, services: FakeServices
) -> None:
    services.answers[f"DELETE {PATH}"] = [(202, {}), (404, {})]
    volumes.delete(VOLUME_ID)
    volumes.delete(VOLUME_ID)


def test_a_volume_with_snapshots_stays_and_its_server_goes(volumes: VolumeService, services: FakeServices) -> None:
    services.answers[f"DELETE {PATH}"] = [(400, {"badRequest": {"message": "1 dependent snapshots"}})]
    services.answers[f"GET {PATH}"] = [(200, volume("available"))]
    volumes.delete(VOLUME_ID)


@pytest.mark.parametrize("status", ["in-use", "detaching", "creating"])
def test_a_volume_that_something_is_done_to_is_deleted_later(
    volumes: VolumeService, services: FakeServices, status: str
) -> None:
    services.answers[f"DELETE {PATH}"] = [(400, {"badRequest": {"message": f"it is {status}"}})]
    services.answers[f"GET {PATH}"] = [(200, volume(status))]
    with pytest.raises(InUse):
        volumes.delete(VOLUME_ID)


def test_a_volume_that_is_kept_for_a_server_is_filled_anew(volumes: VolumeService, services: FakeServices) -> None:
    services.answers[f"POST {PATH}/action"] = [(202, {}), (400, {})]
    volumes.reimage(VOLUME_ID, "an-image")
    assert services.asked[-1][3] == {"os-reimage": {"image_id": "an-image", "reimage_reserved": True}}
    with pytest.raises(Refused):
        volumes.reimage(VOLUME_ID, "an-image")


def test_what_is_refused_and_what_does_not_answer_are_told_apart(
    volumes: VolumeService, services: FakeServices
) -> None:
    services.answers[f"DELETE {PATH}"] = [(403, {})]
    with pytest.raises(Refused):
        volumes.delete(VOLUME_ID)
    services.answers[f"DELETE {PATH}"] = [(503, {})]
    with pytest.raises(Unreachable):
        volumes.delete(VOLUME_ID)


def test_a_server_knows_the_properties_of_the_image_that_its_volume_began_as(
    volumes: VolumeService, services: FakeServices
) -> None:
    """Cinder has the image's attributes among them; an image of the server must not."""
    about = {"image_id": "1", "image_name": "tiny", "checksum": "0", "size": "5", "hw_disk_bus": "scsi"}
    told = {**volume("available")["volume"], "volume_image_metadata": about}  # type: ignore[dict-item]
    services.answers[f"GET {PATH}"] = [(200, {"volume": told})]
    found = volumes.show(VOLUME_ID)
    assert found is not None
    assert found.image == {"hw_disk_bus": "scsi"}
