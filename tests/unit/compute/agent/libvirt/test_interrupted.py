"""What is left of a start that ended with the agent."""

import subprocess
import sys
import threading
import time
from pathlib import Path

from compute.agent.libvirt import interrupted

STARTING = "<domstatus state='paused' reason='starting up' pid='0'>\n</domstatus>"
RUNNING = "<domstatus state='running' reason='booted' pid='7'>\n</domstatus>"
ID = "11111111-2222-3333-4444-5555555555%02d"


def test_a_start_that_was_cut_off_is_cleared_with_its_machine_and_others_are_left(tmp_path: Path) -> None:
    notes = tmp_path / "run" / "qemu"
    notes.mkdir(parents=True)
    machines = []
    for number, text in enumerate((STARTING, RUNNING)):
        (notes / f"{ID % number}.xml").write_text(text)
        words = [sys.executable, "-c", "import time; time.sleep(600)", "-name", f"guest={ID % number},x"]
        machines.append(subprocess.Popen(words))
    # it is known by the name of its program, too: this one is python
    interrupted.clear(tmp_path)
    assert machines[0].poll() is None
    assert [path.stem for path in notes.glob("*.xml")] == [ID % 1]
    for machine in machines:
        machine.kill()
        machine.wait()


def test_a_machine_that_was_about_to_start_is_ended(tmp_path: Path) -> None:
    notes = tmp_path / "run" / "qemu"
    notes.mkdir(parents=True)
    (notes / f"{ID % 5}.xml").write_text("<domstatus state='paused'><job type='none' async='start'/></domstatus>")
    machine = subprocess.Popen(["qemu-system-like", "-c", "sleep 600 # guest", f"guest={ID % 5},x"],
                               executable="/bin/sh")  # fmt: skip
    while b"guest=" not in Path(f"/proc/{machine.pid}/cmdline").read_bytes():
        time.sleep(0.01)  # it is not that program yet
    mourner = threading.Thread(target=machine.wait)  # who is dead and not waited for is still there
    mourner.start()
    interrupted.clear(tmp_path)
    mourner.join(30)
    assert machine.returncode == -9
    assert not list(notes.iterdir())
    interrupted.clear(tmp_path / "nothing")
