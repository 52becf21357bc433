"""tools.scrub: what it says of what devices answer."""

from typing import Any

from storage.overview.scrubbing import troubles
from tools.scrub import bar, describe

DAY_S = 86400
MiB = 1 << 20


def state(**changes: Any) -> dict[str, Any]:
    """Return what a device answers between two passes, but for `changes`."""
    last = {"started_us": 10**15, "finished_us": 10**15 + 7 * 10**6, "read": 50 * MiB, "found": 3, "healed": 3}
    return {
        "paused": False,
        "bytes_per_s": 20 * MiB,
        "cycle_s": 14.0 * DAY_S,
        "bytes": 50 * MiB,
        "too_slow": False,
        "requested": False,
        "share": 1.0,
        "current": None,
        "last": last,
        "quarantined": 0,
        "databases_damaged": 0,
        "databases_wait": "",
        "chunks_differ": 0,
        "differing_chunks": [],
        "lost": 0,
        "lost_objects": [],
    } | changes


def text_of(given: dict[str, Any]) -> str:
    return "\n".join(describe(3, given))


def test_between_two_passes_it_tells_of_the_last() -> None:
    shown = text_of(state())
    assert "device 3: between two passes" in shown
    assert "50 MiB in 7 s, 3 damaged, 3 healed" in shown
    assert list(troubles(state())) == []


def test_a_pass_under_way_is_told_with_its_share() -> None:
    current = {"started_us": 10**15, "found": 2, "healed": 1}
    assert "25% of a pass" in text_of(state(current=current, share=0.25))
    assert "2 damaged, 1 healed" in text_of(state(current=current, share=0.25))


def test_a_device_that_does_not_answer_is_named() -> None:
    assert text_of({}) == "device 3: cannot be asked"


def test_what_is_amiss_is_said_in_sentences_that_say_what_to_do() -> None:
    assert "scrub_bytes_per_s" in next(troubles(state(paused=True)))
    slow = next(troubles(state(too_slow=True, bytes=10**15)))
    assert "551.9 days" in slow
    assert "every 14.0" in slow
    fetching = next(troubles(state(quarantined=3, lost=1, lost_objects=["a/b/c"])))
    assert "2 damaged versions are being fetched" in fetching
    lost = list(troubles(state(quarantined=7, lost=7, lost_objects=[f"a/b/{n}" for n in range(7)])))
    assert len(lost) == 1
    assert "a/b/0, a/b/1" in lost[0]
    assert "…" in lost[0]
    assert "a/b/6" not in lost[0]
    waits = next(troubles(state(databases_damaged=1, databases_wait="device 2: down")))
    assert "(device 2: down)" in waits


def test_the_bar_is_as_long_as_what_is_done() -> None:
    assert bar([state(share=0.5), state(share=0.5)]).startswith("[" + "#" * 15 + "." * 15 + "]  50%")
    assert " 0%" in bar([state(requested=True)])
    assert bar([]) == "no device can be asked"
    assert "4 to heal" in bar([state(quarantined=4)])
