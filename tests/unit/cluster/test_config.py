"""Reading, checking and writing the configuration: cluster.config."""

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.config import (
    ClusterConfig,
    Config,
    DeviceConfig,
    LogConfig,
    NodeConfig,
    PortsConfig,
    ProxyConfig,
    RingConfig,
    StorageConfig,
    fresh_cluster,
    load,
    parse,
    render,
)
from cluster.errors import ConfigError
from cluster.settings import render_value, settings_of

CLUSTER = f'[cluster]\nkey = "{"ab" * 32}"\nhash_prefix = "left"\nhash_suffix = "right"\n'
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "configuration.md"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def device(device_id: int, **settings: object) -> DeviceConfig:
    values: dict[str, object] = {"node": "node-1", "directory": f"nodes/node-1/{device_id}", **settings}
    return DeviceConfig(id=device_id, **values)  # type: ignore[arg-type]


def refusal(text: str) -> str:
    """Return the sentence with which the configuration CLUSTER + `text` is refused."""
    with pytest.raises(ConfigError) as raised:
        parse(CLUSTER + text)
    return str(raised.value)


def test_what_is_not_given_has_its_default() -> None:
    config = parse(CLUSTER + "[proxy]\nworkers = 3\n")
    assert config.proxy == ProxyConfig(workers=3)
    assert (config.ports, config.storage, config.ring) == (PortsConfig(), StorageConfig(), RingConfig())
    assert config.devices == ()


def test_devices_are_read_in_the_order_of_their_ids() -> None:
    config = parse(
        CLUSTER
        + '[[device]]\nid = 1\nnode = "b"\ndirectory = "nodes/b/0"\nzone = 2\nweight = 2\n'
        + '[[device]]\nid = 0\nnode = "a"\ndirectory = "nodes/a/0"\n'
    )
    assert [(each.id, each.node, each.zone, each.weight) for each in config.devices] == [
        (0, "a", 1, 1.0),
        (1, "b", 2, 2.0),
    ]


@given(
    name=texts,
    domains=st.lists(texts, max_size=3).map(tuple),
    skew_s=st.floats(1, 1000),
    segment_bytes=st.integers(1 << 20, 1 << 30),
    devices=st.lists(st.integers(0, 100), unique=True, max_size=4),
    node=texts,
)
def test_what_is_rendered_reads_back_the_same(
    name: str, domains: tuple[str, ...], skew_s: float, segment_bytes: int, devices: list[int], node: str
) -> None:
    config = Config(
        cluster=fresh_cluster(name),
        ports=PortsConfig(offset=17),
        proxy=ProxyConfig(host_domains=domains, clock_skew_s=skew_s, workers=2),
        storage=StorageConfig(segment_bytes=segment_bytes),
        devices=tuple(device(each, node=node) for each in sorted(devices)),
    )
    assert parse(render(config)) == config


def test_a_rendered_file_explains_every_setting_and_shows_defaults_as_comments() -> None:
    text = render(Config(cluster=fresh_cluster(), proxy=ProxyConfig(workers=7)))
    sections = [ClusterConfig, PortsConfig, ProxyConfig, StorageConfig, RingConfig, LogConfig]
    for setting in [setting for section in sections for setting in settings_of(section)]:
        assert f"\n{setting.name} = " in text or f"\n#{setting.name} = " in text
        assert setting.meaning.split()[0] in text
    assert "\nworkers = 7\n" in text
    assert '\n#region = "us-east-1"\n' in text


def test_a_default_that_is_uncommented_is_valid() -> None:
    text = render(Config(cluster=fresh_cluster()))
    uncommented = re.sub(r"^#(?=[a-z])", "", text, flags=re.MULTILINE)
    assert len(tomllib.loads(uncommented)["proxy"]) == len(dataclasses.fields(ProxyConfig))
    assert parse(uncommented) == parse(text)


def test_an_unknown_setting_is_refused_with_the_nearest_known_one() -> None:
    assert refusal("[proxy]\nworker = 3\n") == "[proxy] has no setting worker; did you mean workers?"
    assert refusal("[prxy]\n") == "the file has no setting prxy; did you mean proxy?"
    assert "known are part_power, replicas" in refusal("[ring]\nxyz = 1\n")
    assert "number 1 has no setting wieght; did you mean weight?" in refusal("[[device]]\nwieght = 1\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[proxy]\nworkers = "3"\n', '[proxy] workers must be a whole number, not "3"'),
        ("[proxy]\nworkers = true\n", "[proxy] workers must be a whole number, not true"),
        ("[proxy]\nworkers = 1.5\n", "[proxy] workers must be a whole number, not 1.5"),
        ("[proxy]\nclock_skew_s = inf\n", "[proxy] clock_skew_s must be a number, not Infinity"),
        ("[proxy]\nclock_skew_s = false\n", "[proxy] clock_skew_s must be a number, not false"),
        ("[proxy]\nregion = 1\n", "[proxy] region must be a text in quotes, not 1"),
        ('[proxy]\nhost_domains = "a"\n', '[proxy] host_domains must be a list of texts in quotes, not "a"'),
        ("[proxy]\nhost_domains = [1]\n", "[proxy] host_domains must be a list of texts in quotes, not [1]"),
        ("[proxy]\nworkers = 101\n", "[proxy] workers must be from 0 to 100, not 101"),
        ("[storage]\nupload_ttl_s = 1\n", "[storage] upload_ttl_s must be at least 60, not 1"),
        ('[log]\nlevel = "loud"\n', '[log] level must be one of debug, info, warning, error, not "loud"'),
        ("proxy = 1\n", ""),
        ("[[device]]\nid = 1\n", "[[device]] number 1 lacks node, which has no default"),
        ("[device]\nid = 1\n", "each device is a table of its own, under [[device]]"),
    ],
)
def test_a_wrong_value_is_refused_with_what_would_be_right(text: str, sentence: str) -> None:
    if sentence:
        assert refusal(text) == sentence
    else:
        with pytest.raises(ConfigError, match="must be a table"):
            parse(text + CLUSTER)


def test_a_whole_number_will_do_for_a_number() -> None:
    skew_s = parse(CLUSTER + "[proxy]\nclock_skew_s = 60\n").proxy.clock_skew_s
    assert skew_s == 60.0
    assert isinstance(skew_s, float)


@pytest.mark.parametrize("key", ["", "ab" * 31, "ab" * 33, "zz" * 32, "ab " * 21 + "a"])
def test_a_key_that_is_not_64_hexadecimal_digits_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="key must be 64 hexadecimal digits"):
        parse(f'[cluster]\nkey = "{key}"\nhash_prefix = "a"\nhash_suffix = "b"\n')


def test_settings_that_do_not_fit_together_are_refused() -> None:
    assert "warn_full_ratio <= refuse_full_ratio" in refusal("[storage]\nwarn_full_ratio = 0.97\n")
    assert "S3 and Swift would both get port 9000" in refusal("[ports]\nswift = 9000\n")
    assert "would get port 69000" in refusal("[ports]\noffset = 60_000\n")
    twice = '[[device]]\nid = 1\nnode = "a"\ndirectory = "d"\n'
    assert refusal(twice + twice) == "two devices have the id 1: each needs its own"
    assert "both store in ./d" in refusal(twice + '[[device]]\nid = 2\nnode = "a"\ndirectory = "./d"\n')
    assert "token_ttl_s <= 3 * key_rotation_s" in refusal("[identity]\nkey_rotation_s = 1000.0\n")
    assert "regular expression" in refusal("[identity]\npassword_pattern = \"(\"\n")
    assert "S3 and the identity service would both get port 9000" in refusal("[ports]\nidentity = 9000\n")
    parse(CLUSTER + "[ports]\nidentity = 9000\n[identity]\nenabled = false\n")
    assert "must have {agent} in it" in refusal('[compute]\nagents = 2\nlibvirt = "qemu:///system"\n')
    parse(CLUSTER + '[compute]\nagents = 2\nlibvirt = "qemu:///system?socket=/run/{agent}"\n')
    parse(CLUSTER + '[compute]\nlibvirt = "qemu:///system"\n')
    assert "tunnel_address must be an address" in refusal('[compute]\ntunnel_address = "host-1"\n')
    parse(CLUSTER + '[compute]\ntunnel_address = "2001:db8::1"\n')
    assert "guests_may_reach must be prefixes" in refusal('[compute]\nguests_may_reach = ["192.168.7.1/24"]\n')
    parse(CLUSTER + '[compute]\nguests_may_reach = ["192.168.7.0/24"]\n')
    assert "proxy worker 2 and the metrics of device 0" in refusal(
        "[proxy]\nworkers = 3\n[ports]\nstorage_admin = 6102\n" + twice.replace("1", "0")
    )


def test_wire_ports_clash_only_when_they_are_used() -> None:
    ports = PortsConfig(wire=9000)
    config = Config(cluster=fresh_cluster(), ports=ports, devices=(device(0),))
    assert parse(render(config)) == config
    with pytest.raises(ConfigError, match="S3 and device 0 would both get port 9000"):
        parse(render(dataclasses.replace(config, cluster=fresh_cluster(transport="tcp"))))


def test_the_offset_is_added_to_every_port_but_a_devices_own() -> None:
    ports = PortsConfig(offset=100)
    assert (ports.s3_port, ports.swift_port) == (9100, 8180)
    assert (ports.storage_admin_port(2), ports.proxy_admin_port(1), ports.wire_port(3)) == (6302, 6201, 6103)
    config = Config(cluster=fresh_cluster(), ports=ports, devices=(device(0), device(1, port=7000)))
    assert [config.wire_port(each) for each in config.devices] == [6100, 7000]


def test_there_is_a_worker_per_core_up_to_four_unless_set() -> None:
    automatic = Config(cluster=fresh_cluster())
    assert [automatic.worker_count(cores) for cores in (1, 2, 64)] == [1, 2, 4]
    assert Config(cluster=fresh_cluster(), proxy=ProxyConfig(workers=9)).worker_count(2) == 9


def test_a_node_may_have_addresses_of_its_own() -> None:
    nodes = (NodeConfig(name="a", listen="10.0.0.1", proxies=1), NodeConfig(name="b", listen="10.0.0.2", proxies=2))
    devices = (device(0, node="b"), device(1, node="c"))
    config = Config(cluster=fresh_cluster(), proxy=ProxyConfig(workers=9), devices=devices, nodes=nodes)
    assert parse(render(config)) == config
    assert config.worker_count(2) == 3
    assert [config.proxy_listen(worker) for worker in range(3)] == ["10.0.0.1", "10.0.0.2", "10.0.0.2"]
    assert config.proxy_admin_listen(2) == config.storage_admin_listen(0) == "10.0.0.2"
    assert config.storage_admin_listen(1) == "127.0.0.1"


def test_proxies_that_no_node_has_listen_as_the_ports_say() -> None:
    config = Config(cluster=fresh_cluster(), ports=PortsConfig(listen="0.0.0.0"), nodes=(NodeConfig(name="a"),))
    assert (config.proxy_listen(0), config.proxy_admin_listen(0)) == ("0.0.0.0", "127.0.0.1")


def test_a_node_has_one_table() -> None:
    assert refusal('[[node]]\nname = "a"\n' * 2) == "two [[node]] tables have the name a: one node has one"
    assert "each node is a table of its own" in refusal('[node]\nname = "a"\n')


def test_an_unknown_device_is_an_error() -> None:
    config = Config(cluster=fresh_cluster(), devices=(device(4),))
    assert config.device(4).id == 4
    with pytest.raises(ConfigError, match="no device has the id 5"):
        config.device(5)


def test_secrets_are_random_and_not_shown() -> None:
    first, second = fresh_cluster(), fresh_cluster()
    assert len(first.key_bytes) == 32
    for secret in (first.key, first.hash_prefix, first.hash_suffix):
        assert secret not in repr(first)
        assert secret not in (second.key, second.hash_prefix, second.hash_suffix)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    with pytest.raises(ConfigError, match=r"cannot read .*cluster\.toml: No such file"):
        load(path)
    path.write_text("[cluster\n")
    with pytest.raises(ConfigError, match=r"cluster\.toml: not TOML: .*line 1"):
        load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"cluster\.toml: "):
        load(path)
    path.write_text(CLUSTER)
    assert load(path) == parse(CLUSTER)


def test_the_documentation_tells_of_every_setting_with_its_default() -> None:
    lines = DOCUMENTATION.read_text().splitlines()
    tables = {"device": DeviceConfig, "node": NodeConfig}
    fields = [field for field in dataclasses.fields(Config) if field.name not in ("devices", "nodes")]
    sections = {field.name: field.type for field in fields}
    for name, section in {**sections, **tables}.items():
        table = lines[lines.index(f"## [[{name}]]" if name in tables else f"## [{name}]") :]
        for setting in settings_of(section):  # type: ignore[arg-type]
            required = setting.default is dataclasses.MISSING
            default = "required" if required else f"`{render_value(setting.default)}`"
            row = next((line for line in table if line.startswith(f"| `{setting.name}` | {default} |")), "")
            assert row.endswith(f"| {setting.meaning} |"), f"{name}.{setting.name}"
