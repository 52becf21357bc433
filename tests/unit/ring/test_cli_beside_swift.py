"""ring.cli beside swift-ring-builder: the same command lines on equal builders, of Swift's own making."""

import contextlib
import io
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ring import cli

swift_cli = pytest.importorskip("swift.cli.ringbuilder")
from swift.common.ring import RingBuilder  # noqa: E402

FIELDS = ("region", "zone", "ip", "port", "replication_ip", "replication_port", "device", "weight", "meta")
SETTINGS = ("part_power", "next_part_power", "replicas", "min_part_hours", "overload", "version")
PLACED, EMPTY, NEW, NONE = "placed", "empty", "new", "none"  # builders to begin with


@dataclass(frozen=True)
class Seen:
    """What a command did."""

    exit_code: int
    changed: frozenset[str]  # names of files
    settings: dict[str, Any]
    devices: tuple[tuple[Any, ...], ...]
    removed: tuple[int, ...]


Tool = Callable[[list[str]], int]


def swift_tool(words: list[str]) -> int:
    """Run swift-ring-builder as its console script does: what it does not catch is exit code 2."""
    try:
        swift_cli.main(["swift-ring-builder", *words])
    except SystemExit as ended:
        return int(ended.code or 0)
    except Exception:
        return 2
    return 0


@pytest.fixture(scope="module")
def builders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Directories to begin with, by name."""
    root = tmp_path_factory.mktemp("builders")
    directories = {name: root / name for name in (PLACED, EMPTY, NEW, NONE)}
    for directory in directories.values():
        directory.mkdir()
    builder = RingBuilder(6, 3, 1)
    builder.save(str(directories[EMPTY] / "object.builder"))
    for index in range(8):
        builder.add_dev(
            {
                "region": 1 + index // 6,
                "zone": index // 2,
                "ip": f"10.0.{index // 2}.1" if index < 7 else "fe80::7",
                "port": 6200,
                "replication_ip": f"10.1.{index // 2}.1",
                "replication_port": 6300,
                "device": f"sd{index}",
                "weight": 100.0,
                "meta": f"shelf {index % 2}",
            }
        )
    builder.save(str(directories[NEW] / "object.builder"))
    builder.set_overload(0.1)
    builder.rebalance(seed="1")
    builder.save(str(directories[PLACED] / "object.builder"))
    builder.get_ring().save(str(directories[PLACED] / "object.ring.gz"))
    return directories


def see(tool: Tool, directory: Path, words: list[str], answer: str, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Run `tool` in `directory`; FILE stands for the builder."""
    before = contents(directory)
    monkeypatch.chdir(directory)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        exit_code = tool(words)
    after = contents(directory)
    path = directory / "object.builder"
    builder = RingBuilder.load(str(path)) if path.exists() else RingBuilder(1, 1, 1)
    return Seen(
        exit_code=exit_code,
        changed=frozenset(name for name in after if before.get(name) != after[name]),
        settings={name: getattr(builder, name) for name in SETTINGS},
        devices=tuple((device["id"], *(device[name] for name in FIELDS)) for device in builder._iter_devs()),
        removed=tuple(sorted({device["id"] for device in builder._remove_devs})),
    )


def contents(directory: Path) -> dict[str, tuple[int, int]]:
    """Return by kind of file, as Swift has them, what tells when the newest of it was written."""
    written: dict[str, tuple[int, int]] = {}
    for path in directory.rglob("*"):
        if path.name.endswith((".builder", ".ring.gz")):
            kind = "backup" * (path.parent != directory) + path.suffix
            written[kind] = max(written.get(kind, (0, 0)), (path.stat().st_mtime_ns, path.stat().st_ino))
    return written


Run = Callable[..., tuple[Seen, Seen]]


@pytest.fixture
def both(builders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line with both tools. Returns what Swift's did and what ours did."""

    def run(beginning: str, words: list[str], answer: str = "") -> tuple[Seen, Seen]:
        seen = []
        for name, tool in (("swift", swift_tool), ("ours", cli.main)):
            directory = tmp_path / name
            shutil.copytree(builders[beginning], directory)
            seen.append(see(tool, directory, words, answer, monkeypatch))
        return seen[0], seen[1]

    return run


LINES = {
    PLACED: """

        default
        search d0
        search r1
        search r1z1
        search z1
        search z1-10.0.1.1
        search r1z1-10.0.1.1:6200R10.1.1.1:6300/sd2_shelf
        search d2r1z1-10.0.1.1:6200R10.1.1.1:6300/sd2_shelf
        search d3r1z1-10.0.1.1:6200R10.1.1.1:6300/sd2_shelf
        search 10.0.1.1
        search -10.0.1.1
        search z1:6200
        search :6200
        search :7000
        search R10.1.2.1
        search R:6300
        search R
        search 10.0.1.1R10.1.1.1
        search /sd1
        search /sd
        search _shelf
        search '_shelf 1'
        search [fe80::7]
        search [FE80:0::7]
        search z3-[fe80::7]:6200
        search [fe80::8]
        search ''
        search d99
        search d
        search r
        search z1x
        search :
        search 10.0.1
        search [nonsense]
        search host.example
        search z1-host.example
        search d0 d1
        search
        search --id 0
        search -u 0
        search --region 1 --zone 1
        search -r1 -z1
        search --ip 10.0.1.1 --port 6200
        search --ip FE80::7
        search --ip [fe80::7]
        search --ip host.example
        search --ip not/valid
        search --replication-ip 10.1.1.1
        search --replication-port 6300
        search --device sd1
        search --dev sd1
        search --meta shelf
        search --weight 100
        search --weight 99
        search --weight heavy
        search --id zero
        search --zone 0
        search --id 0 d0
        search --yes
        search --nonsense
        list_parts d0
        list_parts d0 d1 z2
        list_parts --zone 1
        list_parts --zone 1 d0
        list_parts d0 d99
        list_parts d99
        list_parts z1x
        list_parts
        add r1z5-10.0.5.1:6200/sdx 100
        add r1z5-10.0.5.1:6200/sdx 0
        add r1z5-10.0.5.1:6200/sdx 100 r1z5-10.0.5.1:6200/sdy 50.5
        add z5-10.0.5.1:6200/sdx 100
        add r1z5-10.0.5.1:6200R10.9.0.1:6400/sdx 100
        add 'r1z5-10.0.5.1:6200R10.9.0.1:6400/sdx_some words_and more' 100
        add r1z5-[FE80:0:0::9]:6200/sdx 100
        add r1z5-[::1]:6200R[::2]:6300/sdx_m 100
        add r1z5-::1:6200/sdx 100
        add 'r1z5-10.0.5.1:6200/s d x' 100
        add 'r1z5-10.0.5.1:6200/ sdx' 100
        add r1z5-10.0.5.1:6200/ 100
        add r1z5-10.0.5.1:6200/_meta 100
        add r1z5-10.0.5.1:6200 100
        add r1z5-10.0.5.1/sdx 100
        add r1z5-10.0.5.1:port/sdx 100
        add r1z5-10.0.5:6200/sdx 100
        add r1z5-host.example:6200/sdx 100
        add r1-10.0.5.1:6200/sdx 100
        add rz5-10.0.5.1:6200/sdx 100
        add rubbish 100
        add r1z5-10.0.5.1:6200/sdx
        add r1z5-10.0.5.1:6200/sdx heavy
        add r1z5-10.0.5.1:6200/sdx 100 r1z5-10.0.5.1:6200/sdy
        add r1z5-10.0.5.1:6200/sdx 100 r1z5-10.0.5.1:6200/sdx 100
        add r1z0-10.0.0.1:6200/sd0 100
        add r9z9-10.0.0.1:6200/sd0 100
        add r1z5-10.0.5.1:6200/sdx -1
        add
        add --region 1 --zone 5 --ip 10.0.5.1 --port 6200 --device sdx --weight 100
        add -r 1 -z 5 -i 10.0.5.1 -p 6200 -d sdx -w 100 -m text
        add --region 1 --zone 5 --ip host.EXAMPLE --port 6200 --device sdx --weight 100
        add --region 1 --zone 5 --ip ::1 --port 6200 --replication-ip ::2 --replication-port 1 --device sdx --weight 1
        add --region 0 --zone 0 --ip 10.0.5.1 --port 6200 --device sdx --weight 0
        add --region 1 --zone 5 --ip 10.0.5.1 --port 6200 --device sdx
        add --zone 5 --ip 10.0.5.1 --port 6200 --device sdx --weight 100
        add --region 1 --zone 5 --ip under_score --port 6200 --device sdx --weight 100
        add --region 1 --zone 5 --ip 10.0.5.1 --port many --device sdx --weight 100
        add --region 1 --zone 5 --ip 10.0.5.1 --port 6200 --device ' sdx' --weight 100
        add --region 1 --zone 0 --ip 10.0.0.1 --port 6200 --device sd0 --weight 100
        add --region 1 r1z5-10.0.5.1:6200/sdx 100
        set_weight d0 50
        set_weight d0 0
        set_weight d0 1e2
        set_weight d0 50 d1 60.5
        set_weight d0 50 d99 60
        set_weight z1 50 --yes
        set_weight z1 50 -y
        set_weight z1 50 z2 60 --yes
        set_weight z1 50
        set_weight d0
        set_weight d0 50 d1
        set_weight d0 heavy
        set_weight d0 -5
        set_weight d99 50
        set_weight dd 50
        set_weight --id 0 50
        set_weight --weight 100 50 --yes
        set_weight --zone 1 --yes 50
        set_weight --zone 1 50
        set_weight --id 0
        set_weight --id 0 50 60
        set_weight --id 0 heavy
        set_weight
        set_region d0 2
        set_region z1 2 --yes
        set_region --id 0 2
        set_region d0 two
        set_region d0 -1
        set_region d99 2
        set_region d0
        set_zone d0 7
        set_zone z1 7 --yes
        set_zone z1 7
        set_zone --region 1 --zone 1 7 --yes
        set_zone d0 1.5
        set_zone d99 1
        set_info d0 10.0.9.1:6209R10.1.9.1:6309/sdz_meta
        set_info d0 10.0.9.1
        set_info d0 :6209
        set_info d0 R10.1.9.1
        set_info d0 R:6309
        set_info d0 /sdz
        set_info d0 _
        set_info d0 '_two words'
        set_info d0 [FE80::9]:6200
        set_info d0 /sdz d1 /sdy
        set_info z1 _both --yes
        set_info z1 _both
        set_info d0 10.0.0.1:6200/sd1
        set_info z1 /same --yes
        set_info d0 rubbish
        set_info d0 10.0.9
        set_info d0 host.example
        set_info d0
        set_info d99 /sdz
        set_info dd /sdz
        set_info d0 /sdz d1
        set_info --id 0 --change-ip 10.0.9.1 --change-port 6209
        set_info --id 0 --change-ip Host.example --change-replication-ip ::9 --change-replication-port 9
        set_info -u 0 -I 10.0.9.1 -P 6209 -J 10.1.9.1 -Q 6309 -D sdz -M meta
        set_info --id 0 --change-device sd9 --change-meta words
        set_info --zone 1 --change-meta words --yes
        set_info --zone 1 --change-meta words
        set_info --id 0 --change-ip not/valid
        set_info --id 0 --change-port many
        set_info --id 1 --change-device sd0
        set_info --id 99 --change-device sd9
        set_info --change-device sd9
        remove d0
        remove d0 d1 --yes
        remove d0 d1
        remove z1
        remove z1 --yes
        remove d0 d99
        remove d99
        remove rubbish
        remove --id 0
        remove --zone 1 --yes
        remove --zone 1
        remove --id 0 d1
        remove --id 99
        remove '' --yes
        remove
        rebalance
        rebalance 1
        rebalance --seed 1
        rebalance --seed text
        rebalance --force
        rebalance -f -s 1 -d
        rebalance --nonsense
        rebalance --format-version 1 --force
        rebalance --format-version 7
        dispersion
        dispersion -v
        dispersion --verbose r1z1
        dispersion 'r\\d+z\\d+$' -v
        dispersion (
        dispersion --nonsense
        dispersion --recalculate
        validate
        write_ring
        write_ring --format-version 1
        write_ring --format-version 7
        write_ring --dev-id-bytes 3
        write_ring --nonsense
        write_builder
        write_builder 24
        version
        pretend_min_part_hours_passed
        set_min_part_hours 24
        set_min_part_hours 0
        set_min_part_hours many
        set_min_part_hours 1.5
        set_min_part_hours
        set_replicas 4
        set_replicas 2.5
        set_replicas 1
        set_replicas 0.5
        set_replicas -3
        set_replicas nan
        set_replicas inf
        set_replicas many
        set_replicas
        set_overload 0.2
        set_overload 10%
        set_overload 0
        set_overload 1.5
        set_overload 150%
        set_overload -1
        set_overload much
        set_overload
        prepare_increase_partition_power
        increase_partition_power
        cancel_increase_partition_power
        finish_increase_partition_power
        create 8 3 1
        create 8 2.5 0
        create 8 3
        create 8 0.5 1
        create 33 3 1
        create -1 3 1
        create 8 3 -1
        create eight 3 1
        create 8 three 1
        create 8 3 one
        unknown
        nonsense
        --nonsense
    """,
    NEW: """

        list_parts d0
        rebalance --seed 1
        dispersion
        validate
        remove z1 --yes
        increase_partition_power
        pretend_min_part_hours_passed
        set_replicas 9
    """,
    EMPTY: """

        search d0
        add r1z1-10.0.0.1:6200/sda 100
        rebalance
        dispersion
        validate
        write_ring
        remove d0
        set_weight d0 1
        version
    """,
    NONE: """

        create 8 3 1
        create 8 3
        add r1z1-10.0.0.1:6200/sda 100
        rebalance
        version
        write_builder 24
        nonsense
    """,
}


def cases() -> Iterator[Any]:
    for beginning, lines in LINES.items():
        for line in lines.rstrip().splitlines()[1:]:
            yield pytest.param(beginning, shlex.split(line), id=f"{beginning}: {line.strip()}")


@pytest.mark.parametrize(("beginning", "words"), list(cases()))
def test_a_command_ends_as_swifts_does_and_changes_what_it_changes(beginning: str, words: list[str], both: Run) -> None:
    swift, ours = both(beginning, ["object.builder", *words])
    assert ours == swift


DIFFERENCES = {
    "create 6 nan 1": (0, 2),  # no number
    "create 0 3 1": (0, 2),  # a ring of one partition
    "add r1z5-10.0.5.1:6200/sdx nan": (0, 2),
    "add r1z5-10.0.5.1:6200/sdx inf": (0, 2),
    "add r1z5-10.0.5.1:70000/sdx 1": (0, 2),  # no port
    "add --region 1 --zone 5 --ip 10.0.5.1 --port 6200 --device sdx --weight -5": (0, 2),
    "set_weight d0 nan": (0, 2),
    "set_weight d0 inf": (0, 2),
    "set_weight --id 0 -- -5": (0, 2),
    "set_info d0 /": (0, 2),  # a device without a name
    "set_min_part_hours -1": (0, 2),
    "set_overload nan": (0, 2),
    "set_overload inf": (1, 2),
    "set_weight --yes d0 50": (2, 0),  # Swift wants --yes at the end
    "set_region d0 2 d1 3": (2, 0),  # Swift asks about both, and would move d0 to 3
    "remove d0 d0": (2, 0),  # Swift asks, as if it were two
    "validate --help": (0, 0),
    "id": (2, 0),
    "list": (2, 0),
    "plan": (2, 0),
    "draw out.svg": (2, 0),
}


@pytest.mark.parametrize(("line", "exit_codes"), list(DIFFERENCES.items()))
def test_where_it_ends_otherwise_swift_takes_nonsense_or_refuses_sense(
    line: str, exit_codes: tuple[int, int], both: Run
) -> None:
    swift, ours = both(PLACED, ["object.builder", *shlex.split(line)])
    assert (swift.exit_code, ours.exit_code) == exit_codes


def test_a_ring_without_partitions_is_refused_where_swift_writes_one(both: Run) -> None:
    swift, ours = both(NEW, ["object.builder", "write_ring"])
    assert (swift.exit_code, ours.exit_code, set(ours.changed)) == (0, 2, set())


@pytest.mark.parametrize("answer", ["y\n", "n\n", "\n", "yes\n", "Y\n", " y\n", ""])
@pytest.mark.parametrize("line", ["remove z1", "set_weight z1 5", "set_info z1 _text"])
def test_the_same_answer_is_a_yes(line: str, answer: str, both: Run) -> None:
    swift, ours = both(PLACED, ["object.builder", *line.split()], answer)
    assert ours == swift


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("object.ring.gz", ""),
        ("object.ring.gz", "set_weight d0 5"),
        ("object.ring.gz", "version"),
        ("object.ring.gz", "write_builder"),
        ("other.ring.gz", "version"),
        ("other.ring.gz", "write_builder 24"),
        ("other.builder", ""),
        ("other.builder", "create 6 3 1"),
        ("container.builder", "prepare_increase_partition_power"),
        ("nowhere/object.builder", "create 6 3 1"),
        ("nowhere/object.builder", ""),
        ("text", ""),
        ("text", "create 6 3 1"),
        ("text.ring.gz", "version"),
        ("text.ring.gz", "write_builder"),
    ],
)
def test_the_same_file_is_meant(file: str, line: str, both: Run, builders: dict[str, Path]) -> None:
    for directory in builders.values():
        (directory / "text").write_text("This is no builder.")
        (directory / "text.ring.gz").write_text("This is no ring.")
    shutil.copy(builders[PLACED] / "object.builder", builders[PLACED] / "container.builder")
    swift, ours = both(PLACED, [file, *line.split()])
    assert ours == swift


HISTORY = """
    create 6 3 1
    add r1z0-10.0.0.1:6200/sda 100 r1z1-10.0.1.1:6200/sda 100 r1z2-10.0.2.1:6200/sda 100 r1z3-10.0.3.1:6200/sda 100
    rebalance --seed 1
    rebalance --seed 1
    set_weight d0 0
    pretend_min_part_hours_passed
    rebalance --seed 2
    remove d0
    set_weight d0 10
    set_region d0 10
    set_info d0 _leaving
    add r1z0-10.0.0.1:6200/sda 100
    rebalance --seed 3
    add r1z4-10.0.4.1:6200/sda 100
    search d0
    write_ring
    prepare_increase_partition_power
    prepare_increase_partition_power
    add r1z5-10.0.5.1:6200/sda 100
    remove d1
    rebalance
    set_weight d1 100
    finish_increase_partition_power
    write_ring
    increase_partition_power
    increase_partition_power
    cancel_increase_partition_power
    write_ring
    validate
    finish_increase_partition_power
    finish_increase_partition_power
    prepare_increase_partition_power
    cancel_increase_partition_power
    cancel_increase_partition_power
    finish_increase_partition_power
    pretend_min_part_hours_passed
    rebalance --seed 4
    set_overload 100%
    rebalance --seed 5
    set_replicas 2
    pretend_min_part_hours_passed
    rebalance --seed 6
    validate
    dispersion
    set_replicas 9
    rebalance --seed 7
    set_replicas 2
    remove '' --yes
    rebalance
"""


def test_a_history_ends_alike_after_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = {"swift": swift_tool, "ours": cli.main}
    for name in tools:
        (tmp_path / name).mkdir()
    for line in HISTORY.strip().splitlines():
        words = ["object.builder", *shlex.split(line)]
        swift, ours = (see(tool, tmp_path / name, words, "", monkeypatch) for name, tool in tools.items())
        assert ours == swift, line
