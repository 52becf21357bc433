"""The supervisor: one thread that sleeps until a signal, a request or a deadline wakes it.

What to do is decided in `child`; here it is done. Whoever runs a `Supervisor` must be the main thread,
and must not be started while another one runs the same programs (a lock file sees to that).
"""

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.errors import ConfigError
from cluster.supervision import child as life
from cluster.supervision import control
from cluster.supervision.child import Child, State
from cluster.supervision.program import Program
from cluster.supervision.spawn import spawn
from cluster.telemetry.log import get_logger

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_REQUEST_TIMEOUT_S = 0.5  # a client sends its line at once or is dropped: the loop waits for it
_LOG_LIMIT = 32 << 20  # bytes; a longer log is set aside when its program starts

_log = get_logger("supervisor")


class Supervisor:
    """Runs the programs that `configured` returns until it is told to shut down.

    `configured` is called again when programs are to be added or removed, and raises ConfigError.
    """

    def __init__(self, configured: Callable[[], Iterable[Program]], control_path: Path) -> None:
        self._configured = configured
        self._programs = {program.name: program for program in configured()}
        self._children = {name: Child() for name in self._programs}
        self._leaving: set[str] = set()  # stopping; forgotten once they have stopped
        self._control_path = control_path
        self._is_ending = False
        self._exit_code = 0
        self._requests: dict[str, Callable[[Sequence[str]], None]] = {
            "start": self._start_all,
            "stop": self._stop_all,
            "kill": self._kill_all,
        }

    def __repr__(self) -> str:
        states = {name: child.state.value for name, child in self._children.items()}
        return f"Supervisor({states})"

    def run(self) -> int:
        """Start everything, keep it running, and return the exit code once all has stopped."""
        wakeups, wakeup = socket.socketpair()
        for end in (wakeups, wakeup):
            end.setblocking(False)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        for number in (*_STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, _do_nothing)  # the wakeup descriptor tells of it
        listener = _listen(self._control_path)
        self._start_all(list(self._programs))
        with selectors.DefaultSelector() as selector, wakeups, wakeup, listener:
            selector.register(wakeups, selectors.EVENT_READ, lambda: self._on_signals(wakeups))
            selector.register(listener, selectors.EVENT_READ, lambda: self._on_client(listener))
            while not self._has_ended():
                for key, _events in selector.select(self._pause_s()):
                    key.data()
                self._reap()
                self._do_what_is_due()
            signal.set_wakeup_fd(-1)
        self._control_path.unlink(missing_ok=True)
        return self._exit_code

    # what wakes it

    def _on_signals(self, wakeups: socket.socket) -> None:
        for number in wakeups.recv(4096):
            if number in _STOP_SIGNALS:
                self._shut_down(0)

    def _on_client(self, listener: socket.socket) -> None:
        try:
            connection, _address = listener.accept()
            with connection:
                connection.settimeout(_REQUEST_TIMEOUT_S)
                request = control.decode(control.receive_line(connection))
                connection.sendall(control.encode(self.answer(request)))
        except (OSError, ValueError) as error:
            _log.warning("request_failed", error=error)

    def _reap(self) -> None:
        """Note which processes have ended. Some may be no children of ours but of what we were before exec."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, child in self._children.items():
                if child.pid == pid:
                    self._note_exit(name, status)
            self._forget_stopped()

    def _do_what_is_due(self) -> None:
        now_s = time.monotonic()
        for name, child in self._children.items():
            if child.due_s is None or child.due_s > now_s:
                continue
            if child.state is State.WAITING:
                self._start(name)
            else:
                _log.warning("stop_timed_out", process=name, pid=child.pid)
                self._kill(name)
        if self._is_ending:
            self._stop_next()

    # requests

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out a request of `control` and return the answer."""
        do, names, exit_code = request.get("do"), request.get("names", []), request.get("exit_code", 0)
        named = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not named or not isinstance(exit_code, int):
            return {"error": "no such request"}
        if do == "shutdown":
            self._shut_down(exit_code)
        elif do in self._requests:
            unknown = [name for name in names if name not in self._programs or name in self._leaving]
            if unknown or self._is_ending:
                why = f"there is no process {unknown[0]}" if unknown else "everything is being stopped"
                return {"error": why}
            self._requests[do](names)
        elif do in ("add", "remove"):
            refusal = self._add_all(names) if do == "add" else self._remove_all(names)
            if refusal:
                return {"error": refusal}
        elif do != "status":
            return {"error": f"unknown request {do!r}"}
        return self._report()

    def _report(self) -> dict[str, Any]:
        offset_s = time.time() - time.monotonic()
        processes = [
            {
                "name": name,
                "state": child.state.value,
                "pid": child.pid or None,
                "since": round(child.since_s + offset_s, 3),
                "deaths": child.deaths,
                "last_exit": child.last_exit,
            }
            for name, child in self._children.items()
        ]
        return {"pid": os.getpid(), "ending": self._is_ending, "processes": processes}

    def _start_all(self, names: Sequence[str]) -> None:
        for name in names:
            if self._children[name].state in (State.STOPPED, State.WAITING):
                self._start(name)

    def _stop_all(self, names: Sequence[str]) -> None:
        for name in names:
            self._stop(name, self._programs[name].stop_timeout_s)

    def _kill_all(self, names: Sequence[str]) -> None:
        """Kill without warning, as a power cut would; they stay down."""
        for name in names:
            child = self._children[name]
            self._children[name] = life.told_to_stop(child, time.monotonic(), 0)
            self._kill(name)

    def _add_all(self, names: Sequence[str]) -> str:
        """Start programs that the configuration has by now; return why not, or nothing. Those that run are left."""
        if self._is_ending:
            return "everything is being stopped"
        try:
            configured = {program.name: program for program in self._configured()}
        except ConfigError as error:
            return str(error)
        for name in names:
            if name not in configured:
                return f"the configuration has no process {name}"
            if name in self._leaving:
                return f"{name} is still stopping: try again"
        for name in names:
            if name not in self._programs:
                self._programs[name], self._children[name] = configured[name], Child()
                _log.info("process_added", process=name)
        self._start_all(names)
        return ""

    def _remove_all(self, names: Sequence[str]) -> str:
        """Stop programs that the configuration has no longer, and forget them; return why not, or nothing."""
        try:
            kept = {program.name for program in self._configured()}
        except ConfigError as error:
            return str(error)
        for name in names:
            if name in kept:
                return f"the configuration still has the process {name}"
        known = [name for name in names if name in self._programs]
        self._leaving.update(known)
        self._stop_all(known)
        self._forget_stopped()
        return ""

    def _forget_stopped(self) -> None:
        for name in [name for name in self._leaving if self._children[name].state is State.STOPPED]:
            del self._programs[name], self._children[name]
            self._leaving.discard(name)
            _log.info("process_removed", process=name)

    # single processes

    def _start(self, name: str) -> None:
        """Start a process, or see to it that this is tried again: when we end all the others are killed."""
        program, child = self._programs[name], self._children[name]
        try:
            program.ready.unlink(missing_ok=True)
            output = _open_log(program.log)
            try:
                pid = spawn(program.arguments, output, program.namespace)
            finally:
                os.close(output)
        except OSError as error:
            _log.error("cannot_start_process", process=name, error=error)
            self._children[name] = life.could_not_start(child, f"could not be started: {error}", time.monotonic())
            return
        self._children[name] = life.started(child, pid, time.monotonic())
        with _reported(name):
            program.pid.write_text(f"{pid}\n")

    def _stop(self, name: str, timeout_s: float) -> None:
        child = self._children[name]
        if child.state is State.RUNNING:
            os.kill(child.pid, signal.SIGTERM)
            os.kill(child.pid, signal.SIGCONT)  # one that was halted could not obey
        self._children[name] = life.told_to_stop(child, time.monotonic(), timeout_s)

    def _kill(self, name: str) -> None:
        child = self._children[name]
        if child.pid:
            os.kill(child.pid, signal.SIGKILL)
            self._children[name] = life.killed(child)

    def _note_exit(self, name: str, status: int) -> None:
        program, child = self._programs[name], self._children[name]
        after = life.exited(child, status, time.monotonic())
        self._children[name] = after
        for path in (program.pid, program.ready):
            with _reported(name):
                path.unlink(missing_ok=True)
        if after.state is not State.WAITING or self._is_ending:
            return
        assert after.due_s is not None
        _log.error(
            "process_died",
            process=name,
            pid=child.pid,
            how=after.last_exit,
            restart_in_s=round(after.due_s - after.since_s, 1),
            log=program.log,
        )

    # the end

    def _shut_down(self, exit_code: int) -> None:
        """Begin to stop everything; asked again, kill what is left."""
        if self._is_ending:
            for name in self._children:
                self._kill(name)
            return
        _log.info("stopping")
        self._is_ending, self._exit_code = True, exit_code
        self._stop_next()

    def _stop_next(self) -> None:
        """Tell those to stop whose turn it is: the lowest order in which any process is left."""
        now_s = time.monotonic()
        for name, child in self._children.items():
            if child.state is State.WAITING:
                self._children[name] = life.told_to_stop(child, now_s, 0)
        left = [name for name, child in self._children.items() if child.pid]
        turn = min((self._programs[name].stop_order for name in left), default=0)
        for name in left:
            program = self._programs[name]
            if program.stop_order == turn and self._children[name].state is State.RUNNING:
                self._stop(name, program.stop_timeout_s)

    def _has_ended(self) -> bool:
        return self._is_ending and not any(child.pid for child in self._children.values())

    def _pause_s(self) -> float | None:
        due = [child.due_s for child in self._children.values() if child.due_s is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None


@contextmanager
def _reported(name: str) -> Iterator[None]:
    """Go on without a file by which a process is known: there is no space for it, or no writing at all."""
    try:
        yield
    except OSError as error:
        _log.error("process_file_failed", process=name, error=error)


def _do_nothing(_number: int, _frame: object) -> None:
    """Let the signal interrupt what waits; the wakeup descriptor says which it was."""


def _listen(path: Path) -> socket.socket:
    """Return a socket at `path`; what an earlier supervisor left there goes."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.fspath(path))
    listener.listen(16)
    listener.setblocking(False)
    return listener


def _open_log(path: Path) -> int:
    """Return a descriptor that appends to the log; a long one is set aside first."""
    try:
        if path.stat().st_size > _LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
    except FileNotFoundError:
        pass
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
