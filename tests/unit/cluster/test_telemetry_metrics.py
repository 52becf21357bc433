"""Counting and the text format: cluster/telemetry/metrics.py."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.telemetry.metrics import Histogram, Registry, register_process


def test_the_text_format_has_help_type_and_samples_by_name() -> None:
    """prometheus.io, "Text-based format"."""
    registry = Registry()
    requests = registry.counters("http_requests_total", "Requests answered.", ("method", "code"))
    requests.child("GET", 200).value += 1027
    requests.child("PUT", 503).value += 3
    registry.gauge("fullness_ratio", "Used share.").value = 0.25
    assert registry.render() == (
        "# HELP fullness_ratio Used share.\n"
        "# TYPE fullness_ratio gauge\n"
        "fullness_ratio 0.25\n"
        "# HELP http_requests_total Requests answered.\n"
        "# TYPE http_requests_total counter\n"
        'http_requests_total{method="GET",code="200"} 1027\n'
        'http_requests_total{method="PUT",code="503"} 3\n'
    )


def test_a_histogram_is_cumulative_and_ends_with_infinity() -> None:
    registry = Registry()
    family = registry.histograms("wait_seconds", "Waits.", ("stage",), (0.1, 1.0))
    wait = family.child("commit")
    for value in (0.05, 0.1, 0.5, 3.0):
        wait.observe(value)
    assert registry.render().splitlines()[2:] == [
        'wait_seconds_bucket{stage="commit",le="0.1"} 2',
        'wait_seconds_bucket{stage="commit",le="1"} 3',
        'wait_seconds_bucket{stage="commit",le="+Inf"} 4',
        'wait_seconds_sum{stage="commit"} 3.65',
        'wait_seconds_count{stage="commit"} 4',
    ]


@given(st.lists(st.floats(-10, 10), max_size=50), st.sets(st.integers(-8, 8), min_size=1))
def test_each_bucket_counts_the_values_up_to_its_bound(values: list[float], bounds: set[int]) -> None:
    histogram = Histogram([float(bound) for bound in sorted(bounds)])
    for value in values:
        histogram.observe(value)
    *buckets, total, count = histogram.samples()
    for bound, bucket in zip(sorted(bounds), buckets, strict=False):
        assert bucket.value == sum(value <= bound for value in values)
    assert count.value == buckets[-1].value == histogram.count == len(values)
    assert total.value == pytest.approx(sum(values))


def test_a_quantile_is_a_bound_that_so_many_values_keep() -> None:
    histogram = Histogram([1.0, 2.0, 3.0])
    assert histogram.quantile(0.5) == 0
    for value in (0.5, 0.6, 1.5, 9.0):
        histogram.observe(value)
    assert [histogram.quantile(share) for share in (0.5, 0.75, 1.0)] == [1.0, 2.0, float("inf")]


def test_label_values_and_help_are_escaped() -> None:
    registry = Registry()
    registry.gauges("g", "a\nb\\c", ("path",)).child('say "hi"\n\\').value = 1
    assert registry.render().splitlines() == [
        "# HELP g a\\nb\\\\c",
        "# TYPE g gauge",
        'g{path="say \\"hi\\"\\n\\\\"} 1',
    ]


def test_asking_again_gives_the_same_metric() -> None:
    registry = Registry()
    first = registry.counter("a_total", "A.")
    first.value += 1
    assert registry.counter("a_total", "A.") is first
    family = registry.counters("b_total", "B.", ("x",))
    assert family.child(1) is registry.counters("b_total", "B.", ("x",)).child("1")


def test_a_function_is_read_when_somebody_looks() -> None:
    registry = Registry()
    level = [1.0]
    registry.gauge("queue_length", "Length.", lambda: level[0])
    registry.counter("seen_total", "Seen.", lambda: level[0] * 2)
    level[0] = 5
    assert "queue_length 5\n" in registry.render()
    assert "seen_total 10\n" in registry.render()


@pytest.mark.parametrize("name", ["Upper_total", "with-dash_total", "requests"])
def test_a_counter_with_a_wrong_name_is_our_mistake(name: str) -> None:
    with pytest.raises(AssertionError):
        Registry().counter(name, "A.")


def test_a_process_tells_of_itself() -> None:
    registry = Registry()
    register_process(registry, "1.2.3")
    lines = dict(line.rsplit(" ", 1) for line in registry.render().splitlines() if line[0] != "#")
    assert lines['holdfast_build_info{version="1.2.3"}'] == "1"
    assert 1 << 20 < float(lines["process_resident_memory_bytes"]) < 1 << 34
    assert float(lines["process_cpu_seconds_total"]) > 0
    assert 3 <= float(lines["process_open_fds"]) <= len(os.listdir("/proc/self/fd"))
