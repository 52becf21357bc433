"""storage.health.judgement: observations -> condition."""

import dataclasses
import errno
import os

import pytest

from storage.health.condition import WORDS, Condition, Health, Service
from storage.health.judgement import Beat, Limits, Observations, Verdict, is_well, judge

LIMITS = Limits(hang_after_s=2.0, slow_after_s=0.5, warn_ratio=0.85, copies_ratio=0.90, refuse_ratio=0.95)
GOOD = Beat(Condition.OK, took_s=0.01, used_ratio=0.5)
QUIET = Observations(now_s=100.0, beats=(GOOD, GOOD, GOOD))


def condition(**seen: object) -> Condition:
    return judge(dataclasses.replace(QUIET, **seen), LIMITS).condition  # type: ignore[arg-type]


def test_a_disk_of_which_nothing_is_known_yet_is_taken_to_be_well() -> None:
    assert judge(Observations(now_s=0.0), LIMITS) == Verdict(Condition.OK)


@pytest.mark.parametrize(
    ("used_ratio", "expected", "service"),
    [
        (0.84, Condition.OK, Service.ALL),
        (0.85, Condition.FILLING, Service.ALL),
        (0.90, Condition.CROWDED, Service.CLIENTS),
        (0.95, Condition.FULL, Service.DELETIONS),
    ],
)
def test_the_fuller_a_disk_the_less_it_takes(used_ratio: float, expected: Condition, service: Service) -> None:
    found = condition(beats=(dataclasses.replace(GOOD, used_ratio=used_ratio),))
    assert found is expected
    assert found.service is service
    assert not found.is_out


def test_a_log_that_finds_no_space_is_full_whatever_the_figures_say() -> None:
    """Quotas, and file systems that promise more than they have."""
    assert condition(log_is_full=True) is Condition.FULL


def test_a_batch_that_stays_at_the_disk_means_that_it_hangs() -> None:
    assert condition(batch_since_s=98.01) is Condition.OK
    assert condition(batch_since_s=98.0) is Condition.HANGING


def test_so_does_a_heartbeat_that_gets_no_answer() -> None:
    assert condition(beat_since_s=97.0) is Condition.HANGING


def test_a_hang_is_not_final_since_nothing_is_lost_when_its_calls_come_back() -> None:
    assert Condition.HANGING.is_out
    assert not Condition.HANGING.is_final


def test_what_the_log_met_counts_also_while_heartbeats_are_fine() -> None:
    verdict = judge(dataclasses.replace(QUIET, log_failure="fdatasync: Input/output error"), LIMITS)
    assert verdict == Verdict(Condition.FAILING, "fdatasync: Input/output error")
    assert condition(write_failure="unlink: Input/output error") is Condition.FAILING


def test_a_log_that_finds_its_disk_read_only_says_so_before_a_heartbeat_does() -> None:
    failure = f"write: {OSError(errno.EROFS, os.strerror(errno.EROFS))}"
    assert condition(log_failure=failure) is Condition.READ_ONLY


def test_a_disk_that_fails_writes_and_reads_answers_nothing() -> None:
    unreadable = Beat(Condition.UNREADABLE, "reading: Input/output error")
    found = condition(log_failure="write: Input/output error", beats=(GOOD, unreadable))
    assert found is Condition.UNREADABLE
    assert found.service is Service.NOTHING
    assert Condition.FAILING.service is Service.READS


def test_a_directory_that_is_not_there_comes_before_all_else() -> None:
    """The process has files open there, and must let go."""
    gone = Beat(Condition.VANISHED, "not there")
    assert condition(beats=(gone,), batch_since_s=0.0, log_failure="write: EIO") is Condition.VANISHED


def test_single_reads_that_fail_take_nobody_out() -> None:
    assert condition(read_errors=2) is Condition.OK
    assert condition(read_errors=3) is Condition.ERRORS
    assert Condition.ERRORS.service is Service.ALL


def test_one_slow_write_means_nothing_and_three_in_a_row_that_it_is_slow() -> None:
    late = dataclasses.replace(GOOD, took_s=0.7)
    assert condition(beats=(GOOD, late, GOOD, late, late)) is Condition.OK
    assert condition(beats=(GOOD, late, late, late)) is Condition.SLOW


def test_a_disk_is_well_after_two_good_heartbeats_and_not_while_one_hangs() -> None:
    failed = Beat(Condition.FAILING, "writing: Input/output error")
    assert not is_well(dataclasses.replace(QUIET, beats=(failed, GOOD)), LIMITS)
    assert is_well(dataclasses.replace(QUIET, beats=(failed, GOOD, GOOD)), LIMITS)
    assert is_well(dataclasses.replace(QUIET, log_failure="write: Input/output error"), LIMITS)
    assert not is_well(dataclasses.replace(QUIET, beat_since_s=90.0), LIMITS)
    assert not is_well(Observations(now_s=0.0), LIMITS)


@pytest.mark.parametrize("each", Condition)
def test_every_condition_says_what_is_done_and_what_can_be_done(each: Condition) -> None:
    words, facts = WORDS[each], Health(each, "because", 1_000_000).facts()
    assert bool(words.doing) == bool(words.advice) == (each is not Condition.OK)
    assert facts["condition"] == each.label
    assert facts["since"] == 1.0
    assert "because" in Health(each, "because").sentence()
