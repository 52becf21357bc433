"""What the image service answers, and what that means here."""

from collections.abc import Iterator

import pytest

from compute.asking import ServiceLogin
from compute.stored import NotYet, Refused, Unreachable
from compute.volumes.backend import Golden, NewImage
from compute.volumes.image_service import ImageService, NoImages, gib_for
from compute.volumes.moving.parent import Mover
from tests.unit.compute.fake_services import FakeServices

IMAGE_ID = "12345678-1234-1234-1234-123456789abc"
NEW = NewImage(IMAGE_ID, "mine", "p" * 32, "raw", "bare", "private", False, {"hw_disk_bus": "virtio"})


class KeptMover(Mover):
    """Notes what it is to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str]] = []

    def send(self, source: str, wanted: NewImage, url: str, token: str) -> None:
        self.sent.append((source, url, token))


@pytest.fixture
def services() -> Iterator[FakeServices]:
    made = FakeServices()
    yield made
    made.close()


@pytest.fixture
def mover() -> KeptMover:
    return KeptMover()


@pytest.fixture
def images(services: FakeServices, mover: KeptMover) -> ImageService:
    return ImageService(services.url, ServiceLogin(f"{services.url}/v3", "volumes", "secret"), mover)


PATH = f"/v2/images/{IMAGE_ID}"


def test_what_a_user_may_see_is_asked_as_the_user(images: ImageService, services: FakeServices) -> None:
    told = {"id": IMAGE_ID, "name": "i", "status": "active", "min_disk": 2, "size": 5, "virtual_size": None}
    services.answers[f"GET {PATH}"] = [(200, {**told, "hw_disk_bus": "scsi", "owner": "x", "disk_format": "qcow2"})]
    found = images.show(IMAGE_ID, "users-token")
    assert found is not None
    assert (found.status, found.min_disk, found.virtual_size) == ("active", 2, 0)
    assert found.about == {
        "hw_disk_bus": "scsi",
        "disk_format": "qcow2",
        "min_disk": "2",
        "size": "5",
        "image_id": IMAGE_ID,
        "image_name": "i",
    }
    assert services.asked[0][2] == "users-token"


def test_what_is_not_there_or_not_for_the_user_is_none(images: ImageService, services: FakeServices) -> None:
    assert images.show(IMAGE_ID, "t") is None
    assert images.show("../../v3/auth/tokens", "t") is None
    assert services.asked[-1][1] == "/v2/images/-"
    services.answers[f"GET {PATH}"] = [(500, {})]
    with pytest.raises(Unreachable):
        images.show(IMAGE_ID, "t")


def test_a_golden_snapshot_is_waited_for(images: ImageService, services: FakeServices) -> None:
    ready = {"status": "ready", "volume": f"image-{IMAGE_ID}", "snapshot": "golden", "size": 512}
    answers = [(202, {"status": "converting"}), (200, ready), (409, {"message": "no"}), (503, {})]
    services.answers[f"POST {PATH}/actions/golden"] = answers
    with pytest.raises(NotYet):
        images.golden(IMAGE_ID)
    assert images.golden(IMAGE_ID) == Golden(f"image-{IMAGE_ID}", "golden", 512)
    with pytest.raises(Refused):
        images.golden(IMAGE_ID)
    with pytest.raises(Unreachable):
        images.golden(IMAGE_ID)
    assert services.logins == 1


def test_a_token_that_has_ended_is_replaced(images: ImageService, services: FakeServices) -> None:
    ready = {"volume": "v", "snapshot": "s", "size": 512}
    services.answers[f"POST {PATH}/actions/golden"] = [(401, {}), (200, ready)]
    assert images.golden(IMAGE_ID).volume == "v"
    assert services.logins == 2


def test_an_upload_is_announced_sent_and_not_sent_twice(
    images: ImageService, services: FakeServices, mover: KeptMover
) -> None:
    services.answers["POST /v2/images"] = [(201, {}), (409, {})]
    services.answers[f"GET {PATH}"] = [(200, {"status": "queued"}), (200, {"status": "active"})]
    images.upload(NEW, "v@s")
    assert mover.sent == [("v@s", f"{services.url}{PATH}/file", "token-1")]
    made = next(
        document for method, path, _token, document in services.asked if (method, path) == ("POST", "/v2/images")
    )
    assert (made["id"], made["owner"], made["hw_disk_bus"]) == (IMAGE_ID, NEW.owner, "virtio")
    images.upload(NEW, "v@s")
    assert len(mover.sent) == 1


def test_discarding_what_is_not_there_is_no_error(images: ImageService) -> None:
    images.discard(IMAGE_ID)


def test_one_that_does_not_answer_is_unreachable(mover: KeptMover) -> None:
    login = ServiceLogin("http://127.0.0.1:1/v3", "volumes", "secret")
    with pytest.raises(Unreachable):
        ImageService("http://127.0.0.1:1", login, mover).golden(IMAGE_ID)


def test_a_cluster_without_images() -> None:
    none = NoImages()
    assert none.show(IMAGE_ID, "t") is None
    for ask in (lambda: none.golden(IMAGE_ID), lambda: none.upload(NEW, "v@s"), lambda: none.announce(NEW)):
        with pytest.raises(Refused):
            ask()
    none.discard(IMAGE_ID)


def test_sizes_are_rounded_up() -> None:
    assert [gib_for(each) for each in (0, 1, 1 << 30, (1 << 30) + 1)] == [0, 1, 1, 2]
