"""What came of a run, and docs/openstack.md's table of it. No I/O."""

import csv
import enum
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_TAGS = re.compile(r"\[.*")  # behind a test's name: its UUID and kinds
_FIXTURE = re.compile(r"(setUpClass|tearDownClass) \((.*)\)")  # all tests of a class
_API = "tempest.api."  # not written in the table
_MODULE_ROW = re.compile(r"^\| ([\w.]+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
_FAILED_ROW = re.compile(r"^\| `([\w.]+)` \|", re.MULTILINE)


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
    """Return why a test does not pass, by the longest beginning of its name that is known; with $, all of its name."""
    beginnings = [beginning for beginning in known if name.startswith(beginning) or f"{name}$" == beginning]
    return known[max(beginnings, key=len)] if beginnings else None


def unexplained(results: Iterable[Result], known: Mapping[str, str]) -> list[Result]:
    """Return what failed and should not have."""
    return [each for each in results if each.outcome is Outcome.FAILED and reason(each.name, known) is None]


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of a module's tests."""

    module: str
    passed: int
    skipped: int
    failed: tuple[str, ...]  # names of tests


def tallies(results: Iterable[Result]) -> list[Tally]:
    """Return what came of each module, by name."""
    by_module: dict[str, list[Result]] = {}
    for each in results:
        by_module.setdefault(each.module, []).append(each)
    return [_tally(module, by_module[module]) for module in sorted(by_module)]


def _tally(module: str, results: Sequence[Result]) -> Tally:
    names = {outcome: [each.name for each in results if each.outcome is outcome] for outcome in Outcome}
    failed = tuple(sorted(names[Outcome.FAILED]))
    return Tally(module, len(names[Outcome.PASSED]), len(names[Outcome.SKIPPED]), failed)


def merged(earlier: Iterable[Tally], later: Iterable[Tally]) -> list[Tally]:
    """Return the modules of both, by name. What a module came to later counts."""
    found = {each.module: each for each in (*earlier, *later)}
    return [found[module] for module in sorted(found)]


def table(tallied: Sequence[Tally], known: Mapping[str, str]) -> str:
    """Return the part of the page that is written anew."""
    lines = ["| tests | passed | failed | skipped |", "|---|---:|---:|---:|"]
    lines += [f"| {_short(each.module)} | {each.passed} | {len(each.failed)} | {each.skipped} |" for each in tallied]
    failed = [name for each in tallied for name in each.failed]
    passed, skipped = sum(each.passed for each in tallied), sum(each.skipped for each in tallied)
    lines += [f"| **all** | **{passed}** | **{len(failed)}** | **{skipped}** |", ""]
    lines += [_shares(passed, failed, known), ""]
    if failed:
        lines += ["| failed | why |", "|---|---|"]
        lines += [f"| `{_short(name)}` | {reason(name, known) or 'not known yet'} |" for name in failed]
    return "\n".join(lines)


def read_table(text: str) -> list[Tally]:
    """Return what `table` was made of."""
    failed = [Result(_long(name), Outcome.FAILED) for name in _FAILED_ROW.findall(text)]
    return [
        Tally(_long(name), int(passed), int(skipped), tuple(each.name for each in failed if each.module == _long(name)))
        for name, passed, _failed, skipped in _MODULE_ROW.findall(text)
    ]


def _shares(passed: int, failed: Sequence[str], known: Mapping[str, str]) -> str:
    """Return how many of the tests pass that ran, and of those that need nothing of what is left out."""
    ran = passed + len(failed)
    ours = passed + sum(reason(name, known) is None for name in failed)
    return (
        f"Of {ran} that ran, {passed} pass ({_percent(passed, ran)}). Of those that need "
        f"nothing which is left out for a reason below, {passed} of {ours} ({_percent(passed, ours)})."
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _short(name: str) -> str:
    return name.removeprefix(_API)


def _long(name: str) -> str:
    return name if name.startswith("tempest.") else f"{_API}{name}"
