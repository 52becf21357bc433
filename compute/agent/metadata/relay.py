"""Joins what a guest says on standard input with a unix socket: qemu starts it for each connection of a user network.

    python -I -S relay.py SOCKET

It says nothing of its own: what it wrote on standard error would go to the guest. It imports nothing of ours, as guests
outlive the installation that started them.
"""

import os
import selectors
import socket
import sys

_SIZE = 65_536
_IDLE_S = 60.0


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def main(path: str) -> None:
    """Carry bytes both ways, until one side has ended."""
    with socket.socket(socket.AF_UNIX) as other, selectors.DefaultSelector() as ready:
        other.connect(path)
        os.set_blocking(0, True)
        ready.register(0, selectors.EVENT_READ)
        ready.register(other, selectors.EVENT_READ)
        while events := ready.select(_IDLE_S):
            for key, _mask in events:
                data = os.read(key.fd, _SIZE)
                if key.fd == 0:
                    if data:
                        other.sendall(data)
                    else:
                        ready.unregister(0)
                        other.shutdown(socket.SHUT_WR)
                elif data:
                    _write(1, data)
                else:
                    return


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception:
        os._exit(1)
