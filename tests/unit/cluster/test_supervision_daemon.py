"""cluster.supervision.daemon"""

import resource

from cluster.supervision.daemon import OPEN_FILES, allow_open_files


def test_a_daemon_may_have_as_many_files_open_as_the_host_lets_it() -> None:
    """systemd and login shells give 1024 unless one asks for more."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = min(512, hard) if hard != resource.RLIM_INFINITY else 512
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
        allow_open_files()
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft == (OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard))
        allow_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
