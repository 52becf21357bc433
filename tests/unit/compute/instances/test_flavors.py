"""Flavors, their extra specs, and who may use them. Source: Nova's API reference."""

from typing import Any

import pytest

from compute.instances.errors import Invalid
from compute.instances.flavor_specs import check
from tests.unit.compute.instances.surroundings import ALICES, BOBS, Surroundings

DETAILS = {
    "id",
    "name",
    "links",
    "ram",
    "disk",
    "swap",
    "OS-FLV-EXT-DATA:ephemeral",
    "OS-FLV-DISABLED:disabled",
    "vcpus",
    "os-flavor-access:is_public",
    "rxtx_factor",
}


def names(document: Any) -> list[str]:
    return [each["name"] for each in document["flavors"]]


def test_the_usual_flavors_are_there_at_first(around: Surroundings) -> None:
    assert names(around.reader.get("/flavors")) == [
        "m1.tiny",
        "m1.small",
        "m1.medium",
        "m1.large",
        "m1.nano",
        "m1.xlarge",
    ]


def test_a_flavor_is_made_seen_described_and_deleted(around: Surroundings) -> None:
    made = around.admin.make_flavor(name="big", ram="128", swap=64, description="for big things")
    assert made["ram"] == 128
    path = f"/flavors/{made['id']}"
    assert around.member.get(path)["flavor"] == made
    changed = around.admin.put(path, {"flavor": {"description": None}})["flavor"]
    assert changed == {**made, "description": None}
    around.admin.delete(path, 202)
    assert "could not be found" in around.admin.get(path, 404)["itemNotFound"]["message"]
    around.admin.delete(path, 404)


@pytest.mark.parametrize(("minor", "more"), [(1, set()), (55, {"description"}), (61, {"description", "extra_specs"})])
def test_versions_show_what_they_know(shared: Surroundings, minor: int, more: set[str]) -> None:
    client = shared.member.speaking(minor)
    assert set(client.get("/flavors/1")["flavor"]) == DETAILS | more
    (first, *_rest) = client.get("/flavors/detail")["flavors"]
    assert set(first) == DETAILS | more
    assert set(client.get("/flavors")["flavors"][0]) == {"id", "name", "links"} | (more & {"description"})


def test_no_swap_is_an_empty_text_before_2_75(around: Surroundings) -> None:
    assert around.member.speaking(74).get("/flavors/1")["flavor"]["swap"] == ""
    assert around.member.speaking(75).get("/flavors/1")["flavor"]["swap"] == 0


def test_a_description_is_not_taken_before_2_55(around: Surroundings) -> None:
    wanted = {"name": "x", "ram": 1, "vcpus": 1, "disk": 0, "description": "x"}
    around.admin.speaking(54).post("/flavors", {"flavor": wanted}, 400)
    around.admin.speaking(54).put("/flavors/1", {"flavor": {"description": "x"}}, 404)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": " x"},
        {"name": "x\n"},
        {"name": "x" * 256},
        {"ram": 0},
        {"ram": "x"},
        {"ram": 2**31},
        {"ram": "9" * 30},
        {"vcpus": -1},
        {"vcpus": True},
        {"disk": -1},
        {"disk": None},
        {"swap": 1.5},
        {"rxtx_factor": 0},
        {"rxtx_factor": "0"},
        {"id": " x"},
        {"id": "ä"},
        {"os-flavor-access:is_public": "perhaps"},
        {"other": 1},
    ],
)
def test_what_is_no_flavor_is_refused(shared: Surroundings, wrong: dict[str, Any]) -> None:
    wanted = {"name": "x", "ram": 1, "vcpus": 1, "disk": 0, **wrong}
    assert shared.admin.post("/flavors", {"flavor": wanted}, 400)["badRequest"]["code"] == 400


@pytest.mark.parametrize("taken", [{"name": "m1.tiny"}, {"id": "1"}, {"id": 1}])
def test_names_and_ids_are_taken_once(shared: Surroundings, taken: dict[str, Any]) -> None:
    wanted = {"name": "x", "ram": 1, "vcpus": 1, "disk": 0, **taken}
    shared.admin.post("/flavors", {"flavor": wanted}, 409)


def test_listings_are_filtered_sorted_and_paged(around: Surroundings) -> None:
    client = around.member
    assert names(client.get("/flavors?minRam=4096")) == ["m1.medium", "m1.large", "m1.xlarge"]
    assert names(client.get("/flavors?minDisk=80&minRam=1")) == ["m1.large", "m1.xlarge"]
    assert names(client.get("/flavors?sort_key=memory_mb&sort_dir=desc"))[:2] == ["m1.xlarge", "m1.large"]
    first = client.get("/flavors?limit=4&sort_key=memory_mb")
    assert names(first) == ["m1.nano", "m1.tiny", "m1.small", "m1.medium"]
    (link,) = first["flavors_links"]
    rest = client.get(link["href"].partition("falconframework.org")[2])
    assert names(rest) == ["m1.large", "m1.xlarge"]
    assert "flavors_links" not in rest
    for wrong in ("limit=x", "limit=-1", "marker=x", "minRam=x", "minDisk=x", "sort_key=x", "sort_dir=x", "x=1"):
        client.get(f"/flavors?{wrong}", 400)
    client.speaking(74).get("/flavors?x=1")


def test_a_private_flavor_is_for_those_who_have_access(around: Surroundings) -> None:
    made = around.admin.make_flavor(name="own", **{"os-flavor-access:is_public": False})
    path = f"/flavors/{made['id']}"
    around.member.get(path, 404)
    assert "own" not in names(around.member.get("/flavors"))
    assert names(around.admin.get("/flavors?is_public=false")) == ["own"]
    assert "own" in names(around.admin.get("/flavors?is_public=None"))
    assert "own" not in names(around.admin.get("/flavors"))
    around.admin.get("/flavors?is_public=x", 400)
    told = around.admin.post(f"{path}/action", {"addTenantAccess": {"tenant": ALICES}})
    assert told == {"flavor_access": [{"flavor_id": made["id"], "tenant_id": ALICES}]}
    assert around.admin.get(f"{path}/os-flavor-access") == told
    around.admin.post(f"{path}/action", {"addTenantAccess": {"tenant": ALICES}}, 409)
    assert around.member.get(path)["flavor"]["id"] == made["id"]
    assert "own" in names(around.member.get("/flavors?is_public=false"))
    around.stranger.get(path, 404)
    around.admin.post(f"{path}/action", {"removeTenantAccess": {"tenant": BOBS}}, 404)
    around.admin.post(f"{path}/action", {"removeTenantAccess": {"tenant": ALICES}})
    around.member.get(path, 404)


def test_a_public_flavor_has_no_list(around: Surroundings) -> None:
    around.admin.get("/flavors/1/os-flavor-access", 404)
    about = {"addTenantAccess": {"tenant": ALICES}}
    around.admin.post("/flavors/1/action", about, 409)
    around.admin.speaking(6).post("/flavors/1/action", about)
    wrongs: tuple[Any, ...] = (
        {},
        {"other": {}},
        {"addTenantAccess": {}},
        {"addTenantAccess": None},
        {**about, "other": 1},
    )
    for wrong in wrongs:
        around.admin.post("/flavors/1/action", wrong, 400)


def test_extra_specs_are_set_shown_and_removed(around: Surroundings) -> None:
    path = "/flavors/1/os-extra_specs"
    specs = {"hw:cpu_policy": "shared", "mine": "x"}
    assert around.admin.post(path, {"extra_specs": specs}) == {"extra_specs": specs}
    assert around.reader.get(path) == {"extra_specs": specs}
    assert around.admin.put(f"{path}/mine", {"mine": "y"}) == {"mine": "y"}
    assert around.reader.get(f"{path}/mine") == {"mine": "y"}
    assert around.reader.get("/flavors/1")["flavor"]["extra_specs"] == {**specs, "mine": "y"}
    around.admin.put(f"{path}/mine", {"other": "y"}, 400)
    around.admin.put(f"{path}/mine", {"mine": "y", "other": "y"}, 400)
    around.admin.post(path, {"extra_specs": {"a/b": "x"}}, 400)
    around.admin.post(path, {"extra_specs": {"a": None}}, 400)
    around.admin.delete(f"{path}/mine", 200)
    around.admin.delete(f"{path}/mine", 404)
    around.reader.get(f"{path}/mine", 404)


def test_extra_specs_are_checked_from_2_86_on(around: Surroundings) -> None:
    path, wrong = "/flavors/1/os-extra_specs", {"extra_specs": {"hw:cpu_policy": "x"}}
    refused = around.admin.post(path, wrong, 400)["badRequest"]["message"]
    assert refused == "Validation failed; 'x' is not one of: dedicated, shared, mixed."
    around.admin.speaking(85).post(path, wrong)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hw:numa_nodes", "0"),
        ("hw:numa_nodes", "x"),
        ("hw:no_such", "1"),
        ("hw:mem_page_size", "tiny"),
        ("hw_rng:allowed", "perhaps"),
        ("quota:disk_read_bytes_sec", "-1"),
        ("trait:HW_CPU_X86_AVX", "1"),
        ("resources:VCPU", "x"),
        ("quota:other", "1"),
    ],
)
def test_extra_specs_that_cannot_be(name: str, value: str) -> None:
    with pytest.raises(Invalid, match="Validation failed"):
        check(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hw:numa_cpus.0", "0-2"),
        ("hw:mem_page_size", "2MB"),
        ("hw_rng:allowed", "True"),
        ("quota:vif_inbound_peak", "0"),
        ("trait:CUSTOM_X", "required"),
        ("resources1:VCPU", "2"),
        ("aggregate_instance_extra_specs:fast", "true"),
        ("mine", "anything"),
        ("mine:own", "anything"),
    ],
)
def test_extra_specs_that_can_be(name: str, value: str) -> None:
    check(name, value)


def test_only_administrators_change_flavors(around: Surroundings) -> None:
    wanted = {"name": "x", "ram": 1, "vcpus": 1, "disk": 0}
    around.member.post("/flavors", {"flavor": wanted}, 403)
    around.member.delete("/flavors/1", 403)
    around.member.put("/flavors/1", {"flavor": {"description": "x"}}, 403)
    around.member.post("/flavors/1/os-extra_specs", {"extra_specs": {"a": "b"}}, 403)
    around.member.post("/flavors/1/action", {"addTenantAccess": {"tenant": ALICES}}, 403)
