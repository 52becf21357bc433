"""Long answers: white space every now and then, so that no client gives up, and the result at the end."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from proxy.http.message import Buffer

XML_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
SEPARATOR = b"\r\n\r\n"


async def with_heartbeats(
    work: Callable[[], Coroutine[Any, Any, bytes]], content_type: str, interval_s: float
) -> AsyncGenerator[Buffer, None]:
    """Run `work` and yield what it returns; white space until then. Closing the generator ends the work."""
    task = asyncio.ensure_future(work())
    try:
        is_xml = content_type.endswith("/xml")
        if is_xml:
            yield XML_DECLARATION
        beaten = False
        while not task.done():
            await asyncio.wait((task,), timeout=interval_s)
            if not task.done():
                beaten = True
                yield b" "
        yield (SEPARATOR if beaten and not is_xml else b"") + task.result()
    finally:
        if not task.done():
            task.cancel()
