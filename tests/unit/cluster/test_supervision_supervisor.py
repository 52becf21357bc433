"""cluster.supervision.supervisor, spawn and control, with small shell scripts for daemons."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.supervision import control

# a script announces itself, then sleeps until it is told to stop
SERVE = 'trap "exit 0" TERM; touch "$0"; while :; do sleep 0.02; done'
_RUNNER = """
import json, sys
from pathlib import Path
from cluster.errors import ConfigError
from cluster.supervision.program import Program
from cluster.supervision.supervisor import Supervisor
directory = Path(sys.argv[1])
def programs():
    return [
        Program(
            name, tuple(arguments or ("/bin/sh", "-c", script, str(directory / f"{name}.ready"))),
            directory / f"{name}.log", directory / f"{name}.ready", directory / f"{name}.pid", order, timeout_s,
        )
        for name, script, arguments, order, timeout_s in read()
    ]
def read():
    try:
        return json.loads((directory / "programs.json").read_text())
    except ValueError as error:
        raise ConfigError("not JSON") from error
sys.exit(Supervisor(programs, directory / "control.sock").run())
"""


class Supervised:
    """A supervisor process in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "control.sock"
        self.process: subprocess.Popen[bytes]
        self._specifications: list[Any] = []

    def add(
        self, name: str, script: str = SERVE, order: int = 0, timeout_s: float = 5.0, arguments: tuple[str, ...] = ()
    ) -> None:
        self._specifications.append((name, script, arguments, order, timeout_s))

    def start(self) -> None:
        self.start_with()

    def start_with(self, *names: str) -> None:
        """Start with these programs only, or with all."""
        self.configure(*names)
        command = [sys.executable, "-c", _RUNNER, str(self.directory)]
        with open(self.directory / "supervisor.log", "wb") as log:
            self.process = subprocess.Popen(command, stderr=log)
        wait_for(self.answers)

    def configure(self, *names: str) -> None:
        """Write the configuration: these programs, or all that were added."""
        chosen = [each for each in self._specifications if not names or each[0] in names]
        (self.directory / "programs.json").write_text(json.dumps(chosen))

    def answers(self) -> bool:
        try:
            return bool(self.states())
        except control.NotRunning:
            return False

    def states(self) -> dict[str, str]:
        return {each["name"]: each["state"] for each in control.ask(self.socket, "status")["processes"]}

    def facts(self, name: str) -> dict[str, Any]:
        processes = control.ask(self.socket, "status")["processes"]
        return next(each for each in processes if each["name"] == name)

    def is_ready(self, name: str) -> bool:
        return (self.directory / f"{name}.ready").exists()

    def pid(self, name: str) -> int:
        wait_for(lambda: self.is_ready(name))
        return int(self.facts(name)["pid"])


def wait_for(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that is dead but not yet reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    it = Supervised(tmp_path)
    yield it
    if it.process.poll() is None:
        it.process.kill()
    it.process.wait(5)


def test_all_are_started_and_reported(supervised: Supervised) -> None:
    supervised.add("a")
    supervised.add("b")
    supervised.start()
    report = control.ask(supervised.socket, "status")
    assert report["pid"] == supervised.process.pid
    assert supervised.states() == {"a": "running", "b": "running"}
    assert (supervised.directory / "a.pid").read_text() == f"{supervised.pid('a')}\n"
    assert abs(supervised.facts("a")["since"] - time.time()) < 5


def test_one_that_dies_is_started_again_and_loses_its_ready_file(supervised: Supervised) -> None:
    supervised.add("a")
    supervised.start()
    pid = supervised.pid("a")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: supervised.states()["a"] == "waiting")
    assert not supervised.is_ready("a")
    assert not (supervised.directory / "a.pid").exists()
    wait_for(lambda: supervised.is_ready("a"))
    facts = supervised.facts("a")
    assert facts["pid"] != pid
    assert (facts["deaths"], facts["last_exit"]) == (1, "killed by SIGKILL")
    assert "event=process_died" in (supervised.directory / "supervisor.log").read_text()


def test_one_that_cannot_be_executed_says_so_in_its_log(supervised: Supervised) -> None:
    supervised.add("a", arguments=("/no/such/program",))
    supervised.start()
    wait_for(lambda: supervised.facts("a")["deaths"] > 0)
    assert supervised.facts("a")["last_exit"] == "exited with status 127"
    assert "cannot execute /no/such/program" in (supervised.directory / "a.log").read_text()


def test_what_it_writes_goes_to_its_log(supervised: Supervised) -> None:
    supervised.add("a", 'echo out; echo err >&2; touch "$0"; exec sleep 60')
    supervised.start()
    supervised.pid("a")
    assert (supervised.directory / "a.log").read_text() == "out\nerr\n"


def test_one_that_was_stopped_stays_down_until_it_is_started(supervised: Supervised) -> None:
    supervised.add("a")
    supervised.add("b")
    supervised.start()
    supervised.pid("a")
    control.ask(supervised.socket, "stop", names=["a"])
    wait_for(lambda: supervised.states() == {"a": "stopped", "b": "running"})
    assert supervised.facts("a")["last_exit"] == "exited with status 0"
    time.sleep(0.4)  # more than the first restart delay
    assert supervised.states()["a"] == "stopped"
    control.ask(supervised.socket, "start", names=["a"])
    wait_for(lambda: supervised.is_ready("a"))


def test_one_that_was_killed_stays_down(supervised: Supervised) -> None:
    supervised.add("a")
    supervised.start()
    supervised.pid("a")
    control.ask(supervised.socket, "kill", names=["a"])
    wait_for(lambda: supervised.states()["a"] == "stopped")
    assert supervised.facts("a")["last_exit"] == "killed by SIGKILL"
    assert supervised.facts("a")["deaths"] == 0


def test_one_that_does_not_stop_in_time_is_killed(supervised: Supervised) -> None:
    supervised.add("a", 'trap "" TERM; touch "$0"; while :; do sleep 0.02; done', timeout_s=0.2)
    supervised.start()
    supervised.pid("a")
    control.ask(supervised.socket, "stop", names=["a"])
    wait_for(lambda: supervised.states()["a"] == "stopped")
    assert supervised.facts("a")["last_exit"] == "killed by SIGKILL"


def test_one_that_was_halted_can_be_stopped(supervised: Supervised) -> None:
    supervised.add("a")
    supervised.start()
    os.kill(supervised.pid("a"), signal.SIGSTOP)
    control.ask(supervised.socket, "stop", names=["a"])
    wait_for(lambda: supervised.states()["a"] == "stopped")
    assert supervised.facts("a")["last_exit"] == "exited with status 0"


def test_all_stop_in_order(supervised: Supervised) -> None:
    """The first takes its time; the second is told only then."""
    note = 'trap "sleep 0.2; echo $0 >> order; exit 0" TERM; touch "$0"; while :; do sleep 0.02; done'
    quick = note.replace("sleep 0.2; ", "")
    order = supervised.directory / "order"
    supervised.add("second", quick.replace("order", str(order)), order=1)
    supervised.add("first", note.replace("order", str(order)), order=0)
    supervised.start()
    supervised.pid("first")
    supervised.pid("second")
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.process.wait(5) == 0
    assert [Path(line).stem for line in order.read_text().split()] == ["first", "second"]
    assert not supervised.socket.exists()
    assert not (supervised.directory / "first.pid").exists()


def test_a_shutdown_ends_with_the_exit_code_that_was_asked_for(supervised: Supervised) -> None:
    supervised.add("a")
    supervised.start()
    pid = supervised.pid("a")
    control.ask(supervised.socket, "shutdown", exit_code=3)
    assert supervised.process.wait(5) == 3
    assert not is_alive(pid)


def test_a_second_signal_is_impatient(supervised: Supervised) -> None:
    supervised.add("a", 'trap "" TERM; touch "$0"; while :; do sleep 0.02; done', timeout_s=60)
    supervised.start()
    supervised.pid("a")
    supervised.process.send_signal(signal.SIGINT)
    wait_for(lambda: supervised.states()["a"] == "stopping")
    supervised.process.send_signal(signal.SIGINT)
    assert supervised.process.wait(5) == 0


def test_nothing_is_started_while_all_is_being_stopped(supervised: Supervised) -> None:
    supervised.add("a", 'trap "sleep 0.3; exit 0" TERM; touch "$0"; while :; do sleep 0.02; done')
    supervised.start()
    supervised.pid("a")
    control.ask(supervised.socket, "shutdown")
    with pytest.raises(control.ControlError, match="everything is being stopped"):
        control.ask(supervised.socket, "start", names=["a"])


def test_when_the_supervisor_is_killed_its_processes_die_too(supervised: Supervised) -> None:
    supervised.add("a")
    supervised.add("b")
    supervised.start()
    pids = [supervised.pid("a"), supervised.pid("b")]
    supervised.process.kill()
    supervised.process.wait(5)
    wait_for(lambda: not any(is_alive(pid) for pid in pids))


def test_what_a_killed_supervisor_left_is_no_hindrance(supervised: Supervised) -> None:
    supervised.add("a")
    supervised.start()
    supervised.pid("a")
    supervised.process.kill()
    supervised.process.wait(5)
    assert supervised.socket.exists()
    assert supervised.is_ready("a")
    with pytest.raises(control.NotRunning):
        control.ask(supervised.socket, "status")
    supervised.start()
    supervised.pid("a")


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"do": "stop", "names": ["z"]}, "there is no process z"),
        ({"do": "dance"}, "unknown request 'dance'"),
        ({"do": "stop", "names": 5}, "no such request"),
        ({"do": "shutdown", "exit_code": None}, "no such request"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(supervised: Supervised, request_: dict[str, Any], why: str) -> None:
    supervised.add("a")
    supervised.start()
    with pytest.raises(control.ControlError, match=why):
        control.ask(supervised.socket, **request_)


def test_a_program_that_the_configuration_gained_is_started_when_asked(supervised: Supervised) -> None:
    supervised.add("a")
    supervised.add("b")
    supervised.start_with("a")
    pid = supervised.pid("a")
    supervised.configure()
    control.ask(supervised.socket, "add", names=["b"])
    assert supervised.states() == {"a": "running", "b": "running"}
    os.kill(supervised.pid("b"), signal.SIGKILL)
    wait_for(lambda: supervised.facts("b")["deaths"] == 1 and supervised.states()["b"] == "running")
    assert supervised.pid("a") == pid
    control.ask(supervised.socket, "add", names=["b"])  # asked twice, nothing happens
    assert supervised.facts("b")["deaths"] == 1


def test_a_program_that_the_configuration_lost_is_stopped_and_forgotten_when_asked(supervised: Supervised) -> None:
    supervised.add("a")
    supervised.add("b")
    supervised.start()
    pid = supervised.pid("b")
    supervised.configure("a")
    control.ask(supervised.socket, "remove", names=["b"])
    wait_for(lambda: supervised.states() == {"a": "running"})
    assert not is_alive(pid)
    assert not supervised.is_ready("b")
    control.ask(supervised.socket, "remove", names=["b"])  # it is gone: so be it


def test_a_program_that_is_down_is_removed_at_once(supervised: Supervised) -> None:
    supervised.add("a")
    supervised.add("b")
    supervised.start()
    supervised.pid("b")
    control.ask(supervised.socket, "kill", names=["b"])
    wait_for(lambda: supervised.states()["b"] == "stopped")
    supervised.configure("a")
    report = control.ask(supervised.socket, "remove", names=["b"])
    assert [each["name"] for each in report["processes"]] == ["a"]


def test_a_program_comes_and_goes_only_with_the_configuration(supervised: Supervised) -> None:
    supervised.add("a")
    supervised.start()
    with pytest.raises(control.ControlError, match="the configuration has no process b"):
        control.ask(supervised.socket, "add", names=["b"])
    with pytest.raises(control.ControlError, match="the configuration still has the process a"):
        control.ask(supervised.socket, "remove", names=["a"])
    (supervised.directory / "programs.json").write_text("{")
    for do in ("add", "remove"):
        with pytest.raises(control.ControlError, match="not JSON"):
            control.ask(supervised.socket, do, names=["b"])
    assert supervised.states() == {"a": "running"}


def test_one_that_is_stopping_for_good_cannot_be_started(supervised: Supervised) -> None:
    supervised.add("a")
    supervised.add("b", 'trap "" TERM; touch "$0"; while :; do sleep 0.02; done', 0, 1.0)
    supervised.start()
    supervised.pid("b")
    supervised.configure("a")
    control.ask(supervised.socket, "remove", names=["b"])
    assert supervised.states()["b"] == "stopping"
    with pytest.raises(control.ControlError, match="there is no process b"):
        control.ask(supervised.socket, "start", names=["b"])
    supervised.configure()
    with pytest.raises(control.ControlError, match="b is still stopping"):
        control.ask(supervised.socket, "add", names=["b"])
    wait_for(lambda: supervised.states() == {"a": "running"})


@pytest.mark.parametrize("noise", [b"", b"\n", b"[]\n", b"\xff\xfe\n", b'{"do":'])
def test_noise_on_its_socket_does_not_harm_it(supervised: Supervised, noise: bytes) -> None:
    supervised.add("a")
    supervised.start()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(supervised.socket))
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    assert supervised.states() == {"a": "running"}


def test_it_is_small_and_sleeps(supervised: Supervised) -> None:
    """A host may run on little: the supervisor is to take no more than 25 MB, and no processor time."""
    supervised.add("a", 'touch "$0"; exec sleep 60')
    supervised.start()
    supervised.pid("a")
    proc = Path(f"/proc/{supervised.process.pid}")
    time.sleep(0.1)  # it goes to sleep after it has answered
    before = proc.joinpath("stat").read_text().split()[13:15]
    switches = _switches(proc)
    time.sleep(0.3)
    assert proc.joinpath("stat").read_text().split()[13:15] == before
    assert _switches(proc) == switches
    resident = int(proc.joinpath("statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert resident < 25_000_000


def _switches(proc: Path) -> list[str]:
    lines = proc.joinpath("status").read_text().splitlines()
    return [line for line in lines if line.startswith("voluntary_ctxt")]


def test_one_that_cannot_be_started_for_a_while_ends_none_of_the_others(supervised: Supervised) -> None:
    """There may be no space for its log, or no process; when the supervisor ends all are killed."""
    supervised.add("a")
    supervised.add("b")
    supervised.start()
    other = supervised.pid("b")
    pid = supervised.pid("a")
    log, pid_file = supervised.directory / "a.log", supervised.directory / "a.pid"
    log.rename(supervised.directory / "a.log.away")
    log.mkdir()  # what is opened there is no file
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "could not be started" in str(supervised.facts("a")["last_exit"]))
    log.rmdir()
    pid_file.mkdir()
    wait_for(lambda: supervised.states()["a"] == "running")
    assert (supervised.pid("b"), is_alive(other)) == (other, True)
    pid_file.rmdir()
