"""tools.environment"""

import subprocess

from identity.users import new_user
from tools.clouds import variables
from tools.creation import Wishes, plan
from tools.environment import render

USER = new_user("admin")


def test_a_shell_can_source_it() -> None:
    text = render(plan(Wishes(port_offset=7)), USER, {})
    script = f'set -eu; {text}\nprintf "%s\\n" "$AWS_ENDPOINT_URL" "$AWS_SECRET_ACCESS_KEY" "$ST_AUTH" "$ST_KEY"'
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert shown == [
        "http://127.0.0.1:9007",
        USER.secret_key,
        "http://127.0.0.1:8087/auth/v1.0",
        USER.secret_key,
    ]


def test_each_line_is_a_name_and_a_value() -> None:
    lines = render(plan(Wishes()), USER, variables(plan(Wishes()), "it's")).splitlines()
    names = [line.partition("=")[0] for line in lines]
    assert {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "ST_USER", "OS_PASSWORD"} <= set(names)
    assert len(set(names)) == len(lines)
    assert all(name.isidentifier() and name.isupper() for name in names)
