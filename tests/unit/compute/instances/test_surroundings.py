"""What is left of the API around servers: extensions, what is gone, versions."""

from tests.unit.compute.instances.surroundings import ALICES, Surroundings


def test_extensions_are_listed(around: Surroundings) -> None:
    aliases = {each["alias"] for each in around.reader.get("/extensions")["extensions"]}
    assert {"os-keypairs", "os-server-groups", "OS-EXT-STS"} <= aliases
    assert around.reader.get("/extensions/os-keypairs")["extension"]["name"] == "Keypairs"
    around.reader.get("/extensions/other", 404)


def test_what_is_gone_says_so(around: Surroundings) -> None:
    for path in ("/os-cells", "/os-fping", "/os-agents", "/os-floating-ip-dns", "/os-certificates/1"):
        assert around.member.get(path, 410)["gone"]["code"] == 410
    around.nobody.get("/os-cells", 401)
    around.member.get("/os-networks", 404)
    around.member.get("/images", 404)


def test_versions_are_told_and_asked_for(around: Surroundings) -> None:
    (version,) = around.nobody.get("/")["versions"]
    assert (version["id"], version["min_version"], version["version"]) == ("v2.1", "2.1", "2.96")
    assert around.nobody.get("/v2.1")["version"]["id"] == "v2.1"
    result = around.member.speaking(53).request("GET", "/flavors")
    assert result.headers["OpenStack-API-Version"] == "compute 2.53"
    assert result.headers["X-OpenStack-Nova-API-Version"] == "2.53"
    assert result.headers["X-Compute-Request-Id"] == result.headers["X-Openstack-Request-Id"]
    around.member.speaking(97).get("/flavors", 406)


def test_a_path_names_the_project_of_the_token_or_none(around: Surroundings) -> None:
    (flavor, *_rest) = around.member.get(f"/v2.1/{ALICES}/flavors")["flavors"]
    assert flavor["links"][0]["href"].endswith(f"/v2.1/{ALICES}/flavors/1")
    around.stranger.get(f"/v2.1/{ALICES}/flavors", 400)
