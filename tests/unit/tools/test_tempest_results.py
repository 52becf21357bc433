"""What is made of tempest's results: tests/tempest/results.py."""

from dataclasses import replace

from tests.tempest.results import Outcome, Result, merged, read, read_table, reason, table, tallies, unexplained

CSV = '''test,status,start_time,stop_time
tempest.api.identity.v3.test_users.UsersTest.test_lock[id-1],success,a,b
"tempest.api.identity.v3.test_users.UsersTest.test_show[id-2,smoke]",failure,a,b
setUpClass (tempest.api.identity.admin.v3.test_trusts.TrustsTest),skip,a,b
process-returncode,failure,a,b
'''
TRUSTS = Result("tempest.api.identity.admin.v3.test_trusts.TrustsTest", Outcome.SKIPPED)
LOCK = Result("tempest.api.identity.v3.test_users.UsersTest.test_lock", Outcome.PASSED)
SHOW = Result("tempest.api.identity.v3.test_users.UsersTest.test_show", Outcome.FAILED)
SHARES = (
    "Of 2 that ran, 1 pass (50.0 %). Of those that need nothing which is left out for a reason below, "
    "1 of 1 (100.0 %)."
)
KNOWN = {"tempest.api.identity": "a broad reason", SHOW.name[:-5]: "nobody is shown"}


def test_results_are_tests_and_classes_that_did_not_begin() -> None:
    assert read(CSV) == [TRUSTS, LOCK, SHOW]
    assert LOCK.module == "tempest.api.identity.v3.test_users"


def test_what_fails_has_the_narrowest_reason_or_fails_the_run() -> None:
    assert reason(SHOW.name, KNOWN) == "nobody is shown"
    assert unexplained([TRUSTS, LOCK, SHOW], KNOWN) == []
    assert unexplained([TRUSTS, LOCK, SHOW], {}) == [SHOW]


def test_the_table_has_a_line_for_each_module_and_each_failure() -> None:
    assert table(tallies([TRUSTS, LOCK, SHOW]), KNOWN).splitlines()[2:] == [
        "| identity.admin.v3.test_trusts | 0 | 0 | 1 |",
        "| identity.v3.test_users | 1 | 1 | 0 |",
        "| **all** | **1** | **1** | **1** |",
        "",
        SHARES,
        "",
        "| failed | why |",
        "|---|---|",
        "| `identity.v3.test_users.UsersTest.test_show` | nobody is shown |",
    ]


def test_a_part_that_ran_again_replaces_its_modules_in_the_table() -> None:
    scenario = Result("tempest.scenario.test_disks.DisksTest.test_boot", Outcome.FAILED)
    before = tallies([TRUSTS, LOCK, SHOW, scenario])
    assert read_table(table(before, KNOWN)) == before
    mended = tallies([LOCK, replace(SHOW, outcome=Outcome.PASSED)])
    assert merged(before, mended) == tallies([TRUSTS, LOCK, replace(SHOW, outcome=Outcome.PASSED), scenario])
