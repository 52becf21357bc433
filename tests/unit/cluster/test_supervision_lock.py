"""cluster.supervision.lock"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.supervision import lock


def test_only_one_holds_it_and_others_learn_who(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not lock.is_held(path)
    descriptor = lock.acquire(path)
    assert lock.is_held(path)
    with pytest.raises(lock.Held) as held:
        lock.acquire(path)
    assert held.value.pid == os.getpid() == lock.holder(path)
    os.close(descriptor)
    assert not lock.is_held(path)
    os.close(lock.acquire(path))


def test_it_goes_with_a_holder_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import os, signal, sys; from pathlib import Path; from cluster.supervision import lock; "
        "lock.acquire(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert lock.holder(path) is not None
    assert not lock.is_held(path)


def test_whoever_inherits_the_descriptor_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    descriptor = lock.acquire(path)
    heir = subprocess.Popen(["sleep", "60"], pass_fds=(descriptor,))
    os.close(descriptor)
    assert lock.is_held(path)
    heir.kill()
    heir.wait()
    assert not lock.is_held(path)
