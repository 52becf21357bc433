"""Starting a process that does not outlive this one."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # prctl(2)
_CANNOT_EXECUTE = 127
# found before any fork: little is safe between fork and exec
_libc = ctypes.CDLL(None, use_errno=True)
_prctl, _setns = _libc.prctl, _libc.setns
_CLONE_NEWNET = 0x40000000  # setns(2)
_NAMESPACES = "/run/netns"  # where iproute2 keeps named network namespaces


def spawn(arguments: tuple[str, ...], output: int, namespace: str = "") -> int:
    """Start `arguments` in a session of its own, writing to the descriptor `output`. Return its process id.

    The kernel kills it when the thread that called this ends. With a `namespace` it enters that network namespace
    before it is executed. A program that cannot be executed says so in its output and exits with status 127.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _become(arguments, output, parent, namespace)
    except BaseException as error:
        os.write(output, f"cannot execute {arguments[0]}: {error}\n".encode())
    finally:
        os._exit(_CANNOT_EXECUTE)


def _become(arguments: tuple[str, ...], output: int, parent: int, namespace: str) -> None:
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
    if namespace:
        _enter(namespace)
    os.execv(arguments[0], arguments)  # noqa: S606  no shell is wanted


def _enter(namespace: str) -> None:
    """Make a network namespace that of this thread, which is all there is between fork and exec. Raise OSError."""
    descriptor = os.open(f"{_NAMESPACES}/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    if _setns(descriptor, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), namespace)
