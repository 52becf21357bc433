"""tools.bench.results: medians, ratios, the table, JSON."""

import json

from tools.bench.results import Samples, document, size_text, summarize, table
from tools.bench.steps import Operation, Step
from tools.bench.wrk import Sample

PUT = Step(Operation.PUT, 4096, 16)
LIST = Step(Operation.LIST, None, 1)


def sample(rate: float, errors: int = 0) -> Sample:
    return Sample(requests_per_s=rate, p50_ms=1000 / rate, p99_ms=5000 / rate, error_count=errors)


SAMPLES: Samples = {
    (PUT, "holdfast"): [sample(1900), sample(2100), sample(2000, errors=2)],
    (PUT, "swift"): [sample(100), sample(900), sample(125)],
    (LIST, "holdfast"): [sample(250), sample(250), sample(250)],
    (LIST, "swift"): [sample(50), sample(50), sample(50)],
}


def test_results_are_medians_and_errors_are_added_up() -> None:
    own, swift, *_rest = summarize(SAMPLES, "holdfast", ["swift"])
    assert (own.requests_per_s, own.p50_ms, own.error_count) == (2000, 0.5, 2)
    assert own.bytes_per_s == 2000 * 4096
    assert own.ratios == {"swift": 16.0}
    assert (swift.system, swift.requests_per_s, swift.ratios) == ("swift", 125, {})


def test_a_peer_that_answered_nothing_has_no_ratio() -> None:
    dead = Sample(0.0, 0.0, 0.0, 5)
    results = summarize({(PUT, "holdfast"): [sample(10)], (PUT, "x"): [dead]}, "holdfast", ["x"])
    assert results[0].ratios == {"x": 0.0}
    assert next(line for line in table(results, ["x"]) if line.startswith("PUT")).endswith(" -")


def test_the_table_names_a_step_once_and_has_a_column_of_ratios_for_each_peer() -> None:
    lines = list(table(summarize(SAMPLES, "holdfast", ["swift"]), ["swift"]))
    assert [" ".join(line.split()) for line in lines] == [
        "operation size connections system requests/s MB/s p50 ms p99 ms errors vs swift",
        "PUT 4 KiB 16 holdfast 2000 8.2 0.50 2.50 2 16.0x",
        "swift 125 0.5 8.00 40.00 0",
        "LIST 1 holdfast 250 4.00 20.00 0 5.0x",
        "swift 50.0 20.00 100.00 0",
    ]
    assert lines[1].index("2000") + 4 == lines[0].index("requests/s") + len("requests/s")


def test_without_peers_the_table_names_no_system() -> None:
    own = {key: found for key, found in SAMPLES.items() if key[1] == "holdfast"}
    assert "holdfast" not in "".join(table(summarize(own, "holdfast", []), []))


def test_the_document_has_the_same_for_programs() -> None:
    found = json.loads(json.dumps(document(summarize(SAMPLES, "holdfast", ["swift"]), seconds=5, round_count=3)))
    assert (found["seconds"], found["rounds"], len(found["results"])) == (5, 3, 4)
    first = found["results"][0]
    assert (first["operation"], first["size"], first["connections"], first["system"]) == ("PUT", 4096, 16, "holdfast")
    assert first["ratios"] == {"swift": 16.0}
    assert first["requests_per_s_by_round"] == [1900, 2100, 2000]


def test_sizes_are_written_in_the_largest_unit_that_fits() -> None:
    assert [size_text(size) for size in (0, 1000, 4096, 1 << 20, (1 << 20) + 1)] == [
        "0 B", "1000 B", "4 KiB", "1 MiB", "1048577 B",
    ]
