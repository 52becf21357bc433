"""What proxies import of the identity service brings neither its database nor its web framework with it."""

import subprocess
import sys

FOR_PROXIES = ("keystone.tokens.validation", "keystone.tokens.following", "keystone.published_key", "tiers")
HEAVY = ("alembic", "eventlet", "falcon", "oslo_policy", "sqlalchemy")


def test_proxies_need_no_database() -> None:
    imports = "; ".join(f"import identity.{name}" for name in FOR_PROXIES)
    script = f"import sys; {imports}; print(sorted(set({HEAVY}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
