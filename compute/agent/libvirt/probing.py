"""Whether KVM runs guests here: by a small machine of our own that does what kernels do as they start.

That it runs at all proves nothing: where the host is itself emulated, or a guest whose hypervisor does not pass enough
on, qemu refuses the processor, the machine stops at an instruction, or each takes ages. `trial.s` is its source.
"""

import contextlib
import subprocess
import tempfile
import time
from pathlib import Path

from compute.agent.presence import kvm_missing

TRIAL_S = 12.0  # natively it takes half a second, of which qemu has most
SECTOR = bytes.fromhex(
    "fa31c08ed88ec08ed0bc0070bf00106631c0b9000cfc66f3ab66c70600100320000066c70600200330000066c70600308300"
    "00000f20e0660d200600000f22e066b8001000000f22d866b9800000c00f32660d010100000f300f20c0660d030000806683"
    "e0fb0f22c00f0116f87c66ea767c00000800b8100000008ed88ec08ed0bc0070000031c00fa2660f6ec0660f70c800660fd4"
    "c80f290c2500600000f20f59c10fae042500620000bf00610000f0480fc70ff0480fc1070f31b9002d31014801c8486bc003"
    "4831d0505bffc975f0baf8030000b04beef4ebfd0f1f4000000000000000000000000000009a200000000000009200001700"
    "e07c"
).ljust(510, b"\0") + b"\x55\xaa"
_SAID = b"K"
_LOOK_S = 0.05


def trial(accelerator: str = "kvm") -> str:
    """Return why guests cannot run by `accelerator`; empty: one did. Takes TRIAL_S at most."""
    if accelerator == "kvm" and (missing := kvm_missing()):
        return missing
    with tempfile.TemporaryDirectory() as directory:
        disk, line = Path(directory) / "disk", Path(directory) / "line"
        disk.write_bytes(SECTOR)
        command = [
            "qemu-system-x86_64", "-accel", accelerator, "-cpu", "host" if accelerator == "kvm" else "max",
            "-machine", "pc", "-m", "64", "-nodefaults", "-display", "none", "-no-reboot", "-monitor", "none",
            "-serial", f"file:{line}", "-drive", f"file={disk},format=raw,if=ide,snapshot=off,readonly=off",
        ]  # fmt: skip
        try:
            machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)  # noqa: S603
        except OSError as error:
            return f"qemu-system-x86_64 does not start: {error}"
        try:
            return _outcome(machine, line)
        finally:
            machine.kill()
            machine.communicate()


def _outcome(machine: subprocess.Popen[bytes], line: Path) -> str:
    until_s = time.monotonic() + TRIAL_S
    while time.monotonic() < until_s:
        with contextlib.suppress(FileNotFoundError):
            if _SAID in line.read_bytes():
                return ""
        if machine.poll() is not None:
            assert machine.stderr is not None
            said = machine.stderr.read().decode(errors="replace").strip().splitlines()
            return f"KVM does not run a guest here: {said[-1][:200] if said else machine.returncode}"
        time.sleep(_LOOK_S)
    return f"KVM does not run a guest here: one has come to nothing in {TRIAL_S:g} s"
