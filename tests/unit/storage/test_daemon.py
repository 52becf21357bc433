"""storage.daemon"""

import asyncio
import os
from pathlib import Path

import pytest

from cluster.config import Config, DeviceConfig, fresh_cluster
from cluster.layout import Layout
from cluster.supervision import lock
from storage import daemon


def test_a_device_that_a_process_has_is_not_touched_by_another(tmp_path: Path) -> None:
    """Not even to recover it: that cuts off what the other one is writing."""
    layout = Layout(tmp_path)
    layout.run.mkdir()
    config = Config(cluster=fresh_cluster(), devices=(DeviceConfig(id=0, node="0", directory="nodes/0/d0"),))
    held = lock.acquire(layout.lock("storage-0"))
    try:
        with pytest.raises(lock.Held):
            asyncio.run(daemon._serve(config, layout, 0, asyncio.Event()))
    finally:
        os.close(held)
    assert not (tmp_path / "nodes").exists()
