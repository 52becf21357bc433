"""Who is dead, and who was only slow: decided without a clock."""

from cluster.wire.liveness import CLIENT, SERVER, Liveness, Patience, Verdict

LOOK_S = 0.05


class Watch:
    """Looks again and again; nothing is ever queued unless a test says so."""

    def __init__(self, patience: Patience = CLIENT) -> None:
        self.now = 100.0
        self.liveness = Liveness(patience, self.now)
        self.liveness.heard = False
        self.sent = self.flushed = 1000

    def look(self, busy: bool = True, elapsed_s: float = LOOK_S) -> Verdict:
        self.now += elapsed_s
        verdict = self.liveness.look(self.now, LOOK_S, busy, self.sent, self.flushed)
        if verdict is Verdict.PING:
            self.sent = self.flushed = self.sent + 20
        return verdict

    def silence_until(self, verdict: Verdict, busy: bool = True) -> float:
        started = self.now
        while self.now - started < 60:
            if self.look(busy) is verdict:
                return self.now - started
        raise AssertionError(f"never {verdict}")


def test_a_silent_peer_that_owes_an_answer_is_dead_within_1_2_seconds() -> None:
    assert Watch().silence_until(Verdict.DEAD) <= 1.2


def test_an_idle_peer_is_asked_after_a_second() -> None:
    assert 0.95 <= Watch().silence_until(Verdict.PING, busy=False) <= 1.1


def test_a_server_bears_silence_longer_than_a_client_leaves_it() -> None:
    assert Watch(SERVER).silence_until(Verdict.PING, busy=False) > 2 * CLIENT.idle_s


def test_one_ping_is_sent_at_a_time() -> None:
    watch = Watch()
    watch.silence_until(Verdict.PING)
    assert {watch.look() for _ in range(15)} == {Verdict.ALIVE}


def test_any_bytes_are_a_sign_of_life() -> None:
    watch = Watch()
    for _ in range(5):
        watch.silence_until(Verdict.PING)
        for _ in range(15):
            assert watch.look() is Verdict.ALIVE
        watch.liveness.heard = True
        assert watch.look() is Verdict.ALIVE
        assert not watch.liveness.pinged


def test_a_process_that_slept_does_not_blame_its_peer() -> None:
    watch = Watch()
    watch.silence_until(Verdict.PING)
    assert watch.look(elapsed_s=30.0) is Verdict.ALIVE
    watch.liveness.heard = True  # the answer was there all the time
    assert watch.look() is Verdict.ALIVE


def test_a_ping_behind_a_queue_that_moves_proves_nothing() -> None:
    watch = Watch()
    watch.sent = 50_000_000
    watch.silence_until(Verdict.PING)
    watch.flushed = 2000
    for _ in range(100):
        watch.flushed += 10_000
        assert watch.look() is Verdict.ALIVE


def test_a_ping_behind_a_queue_that_stands_still_does() -> None:
    watch = Watch()
    watch.sent = 50_000_000
    watch.silence_until(Verdict.PING)
    watch.flushed = 2000
    assert watch.silence_until(Verdict.DEAD) <= 1.2


def test_bytes_that_only_follow_the_ping_into_the_kernel_are_no_sign_of_life() -> None:
    """The kernel takes some for a stopped process too."""
    watch = Watch()
    watch.silence_until(Verdict.PING)
    verdicts = []
    for _ in range(25):
        watch.sent = watch.flushed = watch.sent + 300
        verdicts.append(watch.look())
    assert Verdict.DEAD in verdicts
