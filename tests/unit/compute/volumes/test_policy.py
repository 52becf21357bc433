"""The code expects what rules there are."""

import re
from pathlib import Path

from compute import volumes
from compute.volumes.policy.defaults import RULES

PACKAGE = Path(volumes.__file__).parent


def test_every_rule_that_is_asked_for_is_there() -> None:
    """One that is not would be refused by oslo.policy as a defect."""
    asked: set[str] = set()
    for path in (PACKAGE / "api").glob("*.py"):
        text = path.read_text()
        asked |= set(re.findall(r'"((?:volume(?:_extension)?|backup|message|scheduler_extension)(?::[\w-]+)+)"', text))
        prefix = re.search(r'^_RULE = "([\w:]+)"', text, re.MULTILINE)
        if prefix:
            asked |= {prefix[1] + end for end in re.findall(r'_RULE \+ "(\w+)"', text)}
    assert len(asked) > 60
    assert asked - RULES.keys() == set()
