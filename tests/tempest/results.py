"""What came of a run, and docs/openstack.md's table of it. No I/O."""

import csv
import enum
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_TAGS = re.compile(r"\[.*")  # behind a test's name: its UUID and kinds
_FIXTURE = re.compile(r"(setUpClass|tearDownClass) \((.*)\)")  # all tests of a class


class Outcome(enum.Enum):
    """What came of a test."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """One test, or a class whose tests could not begin."""

    name: str  # with dots, from the package on
    outcome: Outcome

    @property
    def module(self) -> str:
        """Return the module of the test."""
        parts = self.name.split(".")
        return ".".join(parts[: next(index for index, part in enumerate(parts) if part[:1].isupper())])


_OUTCOMES = {"success": Outcome.PASSED, "failure": Outcome.FAILED, "skip": Outcome.SKIPPED}


def read(text: str) -> list[Result]:
    """Return the results that subunit2csv wrote, by name. A class that was skipped as a whole is one of them."""
    found = {}
    for row in csv.DictReader(io.StringIO(text)):
        name = _TAGS.sub("", row["test"])
        if fixture := _FIXTURE.fullmatch(row["test"]):
            name = fixture.group(2)
        outcome = _OUTCOMES.get(row["status"])
        if outcome is not None and any(part[:1].isupper() for part in name.split(".")):
            found[name] = Result(name, outcome)
    return [found[name] for name in sorted(found)]


def reason(name: str, known: Mapping[str, str]) -> str | None:
    """Return why a test does not pass, by the longest beginning of its name that is known."""
    beginnings = [beginning for beginning in known if name.startswith(beginning)]
    return known[max(beginnings, key=len)] if beginnings else None


def unexplained(results: Iterable[Result], known: Mapping[str, str]) -> list[Result]:
    """Return what failed and should not have."""
    return [each for each in results if each.outcome is Outcome.FAILED and reason(each.name, known) is None]


def table(results: Sequence[Result], known: Mapping[str, str]) -> str:
    """Return the part of the page that is written anew."""
    lines = ["| tests | passed | failed | skipped |", "|---|---:|---:|---:|"]
    for module in sorted({each.module for each in results}):
        counts = [_count([each for each in results if each.module == module], outcome) for outcome in Outcome]
        lines.append(f"| {module.removeprefix('tempest.api.')} | {' | '.join(map(str, counts))} |")
    totals = [f"**{_count(results, outcome)}**" for outcome in Outcome]
    lines += [f"| **all** | {' | '.join(totals)} |", "", _shares(results, known), ""]
    failed = [each for each in results if each.outcome is Outcome.FAILED]
    if failed:
        lines += ["| failed | why |", "|---|---|"]
        lines += [f"| {_short(each.name)} | {reason(each.name, known) or 'not known yet'} |" for each in failed]
    return "\n".join(lines)


def _shares(results: Sequence[Result], known: Mapping[str, str]) -> str:
    """Return how many of the tests pass that ran, and of those that need nothing of what is left out."""
    passed = _count(results, Outcome.PASSED)
    failed = _count(results, Outcome.FAILED)
    ours = passed + len(unexplained(results, known))
    return (
        f"Of {passed + failed} that ran, {passed} pass ({_percent(passed, passed + failed)}). Of those that need "
        f"nothing which is left out for a reason below, {passed} of {ours} ({_percent(passed, ours)})."
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _count(results: Iterable[Result], outcome: Outcome) -> int:
    return sum(each.outcome is outcome for each in results)


def _short(name: str) -> str:
    return f"`{name.removeprefix('tempest.api.')}`"
