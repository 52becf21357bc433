"""The table of the control plane's services: cluster/config/services.py."""

from dataclasses import replace
from importlib.util import find_spec

import pytest

from cluster.config import Config, IdentityConfig, PortsConfig, fresh_cluster
from cluster.config.services import IDENTITY, SERVICES, ControlService, running

CONFIG = Config(cluster=fresh_cluster())


def test_each_has_a_name_and_ports_of_its_own() -> None:
    ports = [port for each in SERVICES for port in (each.port(CONFIG.ports), each.admin_port(CONFIG.ports))]
    assert len(set(ports)) == 2 * len(SERVICES)
    assert len({each.name for each in SERVICES}) == len(SERVICES)
    types = [entry.type for each in SERVICES for entry in each.catalog]
    assert len(set(types)) == len(types)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_its_daemon_is_there_and_its_ports_have_the_offset(service: ControlService) -> None:
    assert find_spec(service.module) is not None
    moved = PortsConfig(offset=100)
    assert service.port(moved) == service.port(CONFIG.ports) + 100
    assert service.admin_port(moved) == service.admin_port(CONFIG.ports) + 100


def test_none_runs_without_the_identity_service() -> None:
    assert running(CONFIG) == list(SERVICES)
    assert running(replace(CONFIG, identity=IdentityConfig(enabled=False))) == []


def test_clients_are_told_the_public_url_or_where_it_listens() -> None:
    assert IDENTITY.api_url(CONFIG) == "http://127.0.0.1:5000/v3"
    public = replace(CONFIG, identity=IdentityConfig(public_url="https://cloud.example:5000/"))
    assert IDENTITY.base_url(public) == "https://cloud.example:5000"
    assert IDENTITY.api_url(public) == "https://cloud.example:5000/v3"
    everywhere = replace(CONFIG, ports=PortsConfig(listen="::"))
    assert IDENTITY.base_url(everywhere) == "http://[::1]:5000"
