"""Starting a process that does not outlive this one."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # prctl(2)
_CANNOT_EXECUTE = 127
# found before any fork: little is safe between fork and exec
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def spawn(arguments: tuple[str, ...], output: int) -> int:
    """Start `arguments` in a session of its own, writing to the descriptor `output`. Return its process id.

    The kernel kills it when the thread that called this ends. A program that cannot be executed says
    so in its output and exits with status 127.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _become(arguments, output, parent)
    except BaseException as error:
        os.write(output, f"cannot execute {arguments[0]}: {error}\n".encode())
    finally:
        os._exit(_CANNOT_EXECUTE)


def _become(arguments: tuple[str, ...], output: int, parent: int) -> None:
    os.setsid()  # a terminal's Ctrl-C is for the supervisor alone
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(_CANNOT_EXECUTE)  # it died before the line above
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execv(arguments[0], arguments)  # noqa: S606  no shell is wanted
