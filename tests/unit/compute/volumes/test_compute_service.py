"""What the compute service answers, and what that means here."""

from collections.abc import Iterator

import pytest

from compute.asking import ServiceLogin
from compute.stored import Unreachable
from compute.volumes.compute_service import ComputeService, NoServers
from tests.unit.compute.fake_services import FakeServices

SERVER, VOLUME = "11111111-1111-1111-1111-111111111111", "12345678-1234-1234-1234-123456789abc"
PATH = f"GET /servers/{SERVER}/os-volume_attachments/{VOLUME}"


@pytest.fixture
def services() -> Iterator[FakeServices]:
    made = FakeServices()
    yield made
    made.close()


@pytest.fixture
def servers(services: FakeServices) -> ComputeService:
    return ComputeService(services.url, ServiceLogin(f"{services.url}/v3", "volumes", "secret"))


def test_a_server_is_asked_by_which_attachment_it_has_a_volume(servers: ComputeService, services: FakeServices) -> None:
    attachment = {"attachment_id": "an-attachment", "bdm_uuid": "a-row", "volumeId": VOLUME, "serverId": SERVER}
    services.answers[PATH] = [(200, {"volumeAttachment": attachment}), (404, {}), (503, {})]
    assert servers.attachment_of(SERVER, VOLUME) == "an-attachment"
    assert servers.attachment_of(SERVER, VOLUME) is None
    with pytest.raises(Unreachable):
        servers.attachment_of(SERVER, VOLUME)
    assert {token for _method, path, token, _sent in services.asked if "servers" in path} == {"token-1"}


def test_where_there_is_no_compute_service_no_server_has_anything() -> None:
    assert NoServers().attachment_of(SERVER, VOLUME) is None
