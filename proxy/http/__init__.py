"""HTTP/1.1 for the dialects: a server that hands out requests and sends responses, and HTTP's small values.

Read `message.py` first: what the application sees. `head.py`, `chunked.py` and `render.py` are
codecs, `connection.py` and `server.py` own the sockets; `ranges.py`, `conditions.py`, `dates.py`
and `text.py` are values.

Invariants: a request that can be framed in two ways is refused and its connection closed; every
buffer and every wait is bounded; payload goes from the kernel into the buffer that the application
gets, and from the application's buffer to the kernel, without being copied in between.
"""
