"""What a machine lacks for guests, told with what gets it."""

import json
from pathlib import Path

import pytest

from compute.agent import presence
from compute.agent.presence import lines, missing
from compute.agent.virtualization import KVM, QEMU, Virtualization


def test_what_is_missing_is_told_with_one_command_for_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "_VITAL", tuple((each, lambda: False) for each, _is_there in presence._VITAL))
    monkeypatch.setattr(presence, "_BRIDGE", tuple((each, lambda: False) for each, _is_there in presence._BRIDGE))
    found = missing()
    told = lines(found)
    assert [line for line in told if "qemu-system-x86_64 is missing" in line]
    (packages,) = (line for line in told if "apt-get install" in line)
    for package in ("libvirt-daemon", "libvirt-dev", "qemu-system-x86", "nftables", "dnsmasq-base"):
        assert package in packages
    (binding,) = (line for line in told if "libvirt-python" in line)
    assert "pkg-config --modversion libvirt" in binding
    assert told.index(packages) < told.index(binding)  # which needs it
    assert not [each for each in missing("user") if each.what == "nft"]


def test_nothing_is_told_where_all_is_there() -> None:
    assert lines([]) == []


def test_the_outcome_of_trying_kvm_is_kept_for_as_long_as_the_host_runs(tmp_path: Path) -> None:
    kept, tries = tmp_path / "virtualization.json", []

    def trial() -> str:
        tries.append(1)
        return "it stops at an instruction"

    for _ in range(2):
        found = Virtualization("auto", kept, trial)
        found.start()
        assert found.kind() == QEMU
        assert "instruction" in found.warnings[0]
    assert len(tries) == 1
    kept.write_text(json.dumps({"boot": "another", "kind": KVM, "why": ""}))
    found = Virtualization("auto", kept, lambda: "")
    found.start()
    assert found.kind() == KVM
    assert not found.warnings


def test_what_is_configured_is_not_tried(tmp_path: Path) -> None:
    found = Virtualization("kvm", tmp_path / "none", lambda: "never asked")
    found.start()
    assert found.kind() == found.now() == KVM
