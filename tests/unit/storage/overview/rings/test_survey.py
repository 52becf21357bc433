"""storage.overview.rings.survey, storage.overview.words"""

import dataclasses

import pytest

from storage.overview import words
from storage.overview.rings import survey
from storage.overview.rings.survey import Role, Share
from storage.rings.document import Stage, first
from storage.rings.reports import UseReport

DIGEST = {"object-0": "0" * 64}
STABLE = first(DIGEST, 0)
IN_USE = Share(weight=1.0, wanted_ratio=0.25, coming_ratio=0.25, held_ratio=0.25)


@pytest.mark.parametrize(
    ("changes", "role"),
    [
        ({}, Role.USED),
        ({"held_ratio": 0.0}, Role.JOINING),
        ({"weight": 0.0}, Role.DRAINING),
        ({"weight": 0.0, "coming_ratio": 0.0}, Role.DRAINING),
        ({"weight": 0.0, "coming_ratio": 0.0, "held_ratio": 0.0}, Role.DRAINED),
        ({"weight": 0.0, "coming_ratio": 0.0, "leaving": True}, Role.LEAVING),
        ({"coming_ratio": 0.0, "held_ratio": 0.0}, Role.USED),
    ],
)
def test_a_device_is_what_it_has(changes: dict[str, float], role: Role) -> None:
    assert survey.role(dataclasses.replace(IN_USE, **changes), is_configured=True) is role  # type: ignore[arg-type]


def test_configuration_and_rings_may_differ() -> None:
    assert survey.role(None, is_configured=True) is Role.UNUSED
    assert survey.role(IN_USE, is_configured=False) is Role.MISSING


def test_a_share_is_told_in_short() -> None:
    assert survey.share_shown(Role.USED, IN_USE) == "weight 1, 25.0% of the data"
    joining = dataclasses.replace(IN_USE, held_ratio=0.0, weight=2.5)
    assert survey.share_shown(Role.JOINING, joining) == "joining, weight 2.5, 0.0% of the data, 25.0% to come"
    assert survey.share_shown(Role.DRAINED, dataclasses.replace(IN_USE, weight=0.0)) == "drained"
    assert survey.share_shown(Role.UNUSED, None) == "unused"


def test_stages_are_told_in_words() -> None:
    announced = STABLE.begin(DIGEST, "add node 4", 5)
    assert survey.stage_in_words(STABLE) == "nothing is under way"
    assert "the stage before" in survey.stage_in_words(announced)
    assert survey.stage_in_words(announced.enforce(6)).endswith("reads to the old")
    last = dataclasses.replace(STABLE, version=6, floor=4)
    assert survey.stage_in_words(last).startswith("the change is through")


def test_who_is_behind_is_named() -> None:
    document = dataclasses.replace(STABLE, version=5, floor=5)
    uses = {"proxy-0": UseReport(5, 5), "storage-0": UseReport(3, 5)}
    facts = survey.use_facts(document, uses, ["storage-0", "storage-1", "proxy-0"])
    assert [use["behind"] for use in facts] == [2, None, 0]
    assert list(survey.use_lines(facts, 5)) == [
        "By version 5 work proxy-0.",
        "storage-0 works by version 3, 2 behind.",
        "storage-1 has not reported a version.",
    ]
    assert list(survey.use_lines(facts[2:], 5)) == ["All 1 processes work by version 5."]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "[" + "#" * 15 + "-" * 15 + "]  50%  1.5 GB  about 3 min left"),
        ({"left_s": None, "waiting_for": ["waiting for device 4: down"]}, "waiting for device 4: down"),
        ({"left_s": None}, "beginning"),
        ({"stage": Stage.SERVING.value, "done_ratio": 1.0}, "copied; going over to the new places"),
    ],
)
def test_progress_is_one_line(changes: dict[str, object], line: str) -> None:
    facts = {"done_ratio": 0.5, "bytes_copied": 1.5e9, "left_s": 180.0, "stage": "joining", "waiting_for": []}
    assert survey.progress_line({**facts, **changes}).endswith(line)


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (999_600, "1 MB"), (1.25e9, "1.25 GB"), (5e18, "5000 PB")],
)
def test_bytes_are_readable(count: float, shown: str) -> None:
    assert words.bytes_shown(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "1 s"), (42.4, "42 s"), (99, "99 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 days")]
)
def test_durations_are_readable(seconds: float, shown: str) -> None:
    assert words.duration(seconds) == shown


@pytest.mark.parametrize(("names", "text"), [(["1"], "1"), (["1", "2"], "1 and 2"), (["1", "2", "3"], "1, 2 and 3")])
def test_names_are_listed(names: list[str], text: str) -> None:
    assert words.listed(names) == text
