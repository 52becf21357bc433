"""The code expects what rules there are."""

import re
from pathlib import Path

from compute import instances
from compute.instances.policy.defaults import RULES

PACKAGE = Path(instances.__file__).parent


def test_every_rule_that_is_asked_for_is_there() -> None:
    """One that is not would be refused by oslo.policy as a defect."""
    asked: set[str] = set()
    for path in (PACKAGE / "api").glob("*.py"):
        text = path.read_text()
        asked |= set(re.findall(r'"((?:os_compute_api|compute):[\w:-]+\w)"', text))
        prefix = re.search(r'^_RULE = (?:f"\{RULE\}|"os_compute_api:)([\w:-]+)"', text, re.MULTILINE)
        asked |= {f"os_compute_api:{end}" for end in re.findall(r'\{RULE\}([\w:-]+\w)"', text)}
        if prefix:
            ends = re.findall(r'\{_RULE\}:?([\w:-]+)"', text)
            asked |= {f"os_compute_api:{prefix[1].rstrip(':')}:{end}" for end in ends}
    asked = {each for each in asked if not each.endswith((":os-server-tags", ":server-metadata"))}
    assert len(asked) > 60
    assert asked - RULES.keys() - PREFIXES == set()


PREFIXES = {
    "os_compute_api:os-volumes-attachments",
    "os_compute_api:os-attach-interfaces",
    "os_compute_api:os-instance-actions",
    "os_compute_api:servers",
}
