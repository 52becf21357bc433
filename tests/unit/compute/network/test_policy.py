"""The code expects what rules there are."""

import re
from pathlib import Path

from compute import network
from compute.network.attributes import NOUNS
from compute.network.policy.defaults import RULES

PACKAGE = Path(network.__file__).parent


def test_every_rule_that_is_asked_for_is_there() -> None:
    """One that is not would be refused by oslo.policy as a defect, or allow all."""
    asked = {f"{verb}_{noun}" for noun in NOUNS for verb in ("create", "get", "delete")}
    asked |= {f"update_{noun.name}" for noun in NOUNS.values() if any(each.put for each in noun.attributes.values())}
    for path in (PACKAGE / "api").glob("*.py"):
        asked |= set(re.findall(r'require(?:_owned)?\(context, "(\w+)"', path.read_text()))
    assert len(asked) > 20
    assert asked - RULES.keys() == set()


def test_every_rule_is_about_something_that_there_is() -> None:
    for rule in RULES:
        whole, _colon, attribute = rule.partition(":")
        noun = whole.partition("_")[2]
        if attribute:
            known = NOUNS[noun].attributes
            assert attribute in known or attribute.rpartition(":")[0] in known, rule
