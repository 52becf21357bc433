"""Lines of the log: cluster/telemetry/log.py."""

import io
import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.telemetry import log
from cluster.telemetry.log import Level, Logger, Sink, get_logger, render, render_json

NOON_S = 1_714_555_800.1239


def logger(level: Level = Level.INFO, as_json: bool = False) -> tuple[Logger, io.StringIO]:
    stream = io.StringIO()
    return get_logger("storage", Sink(level, as_json, stream)), stream


def test_an_event_is_one_line_of_pairs() -> None:
    fields = {"component": "storage", "event": "replica_stale", "device": 3, "age_s": 1.5, "up": True}
    assert render(NOON_S, Level.WARNING, fields) == (
        "ts=2024-05-01T09:30:00.123Z level=warning component=storage event=replica_stale device=3 age_s=1.5 up=true"
    )


def test_an_event_in_json_is_an_object_with_its_types() -> None:
    line = render_json(NOON_S, Level.INFO, {"event": "started", "port": 9000, "ratio": 1 / 3, "path": "a b"})
    assert json.loads(line) == {
        "ts": "2024-05-01T09:30:00.123Z",
        "level": "info",
        "event": "started",
        "port": 9000,
        "ratio": 0.333333,
        "path": "a b",
    }


@given(st.text())
def test_whatever_a_value_holds_the_line_is_one_and_the_value_is_whole(text: str) -> None:
    line = render(NOON_S, Level.INFO, {"event": "x", "value": text, "last": 1})
    assert line.isprintable()
    value = line.split(" value=", 1)[1].removesuffix(" last=1")
    assert text == (json.loads(value) if value.startswith('"') else value)


def test_values_are_quoted_only_where_a_reader_would_stumble() -> None:
    line = render(NOON_S, Level.INFO, {"a": "plain/path-1:2", "b": "two words", "c": "x=y", "d": "", "e": 'say "hi"'})
    assert shlex.split(line)[2:] == ["a=plain/path-1:2", "b=two words", "c=x=y", "d=", 'e=say "hi"']
    assert "a=plain/path-1:2 " in line


def test_secrets_are_never_written() -> None:
    secrets = {"secret_key": "hush1", "token": "hush2", "password": "hush3", "authorization": "hush4"}
    for line in (render(NOON_S, Level.INFO, secrets), render_json(NOON_S, Level.INFO, secrets)):
        assert "hush" not in line
        assert line.count("***") == 4


def test_bytes_are_hexadecimal_and_long_values_are_cut() -> None:
    line = render(NOON_S, Level.INFO, {"key": b"\x00\xff", "body": "x" * 100_000})
    assert "key=00ff" in line
    assert len(line) < 3000


def test_an_exception_tells_where_it_came_from() -> None:
    def fail() -> None:
        raise ValueError("bad thing")

    out, stream = logger()
    try:
        fail()
    except ValueError as error:
        out.error("task_failed", error=error)
    line = stream.getvalue()
    assert 'error="ValueError: bad thing"' in line
    assert line.index(" fail") < line.index(" test_an_exception")


def test_bound_fields_are_in_each_line_after_the_event() -> None:
    out, stream = logger()
    out.bind(request="r1").bind(device=3).info("done", size=5)
    assert stream.getvalue().endswith(" component=storage event=done request=r1 device=3 size=5\n")
    out.info("done")
    assert "request" not in stream.getvalue().splitlines()[1]


def test_what_is_below_the_level_is_left_out() -> None:
    out, stream = logger(Level.WARNING)
    out.debug("a")
    out.info("b")
    out.warning("c")
    out.error("d")
    assert [line.split("event=")[1] for line in stream.getvalue().splitlines()] == ["c", "d"]
    assert not out.is_enabled(Level.INFO)
    assert out.is_enabled(Level.ERROR)


def test_the_process_writes_to_stderr_as_configured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_process_sink", Sink())
    out = get_logger("proxy")
    out.info("before")
    log.configure("error", "json")
    out.info("hidden")
    out.error("after")
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = captured.err.splitlines()
    assert "event=before" in first
    assert json.loads(second)["event"] == "after"


def test_a_stream_that_is_gone_stops_nothing() -> None:
    out, stream = logger()
    stream.close()
    out.error("unheard")
