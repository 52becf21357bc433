"""The simulators as their commands: run to the end, for tests that look at what they print."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def simulated(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m` a simulator."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
