"""Who may commit a name for a while: reservations in memory, made by conditional writes. Pure.

Losing them is safe: a commit with a token that is not held is refused, so a restart makes the
writer begin again. So those of a client that is lost are given up at once: nobody waits for the dead.
Time is an argument, in seconds of any clock that does not run backwards.
"""

from storage.messages import Refusal

_LIMIT = 100_000  # a bound for what lies in memory; far beyond the conditional writes of a few seconds


class Reservations:
    """The reservations of a device."""

    def __init__(self) -> None:
        self._held: dict[bytes, tuple[bytes, float, object]] = {}  # key -> token, deadline, client

    def __len__(self) -> int:
        return len(self._held)

    def reserve(
        self, key: bytes, token: bytes, ttl_s: float, now_s: float, client: object = None
    ) -> Refusal | None:
        """Hold `key` for `token`, or longer if it does already. Return why not."""
        holder = self._holder(key, now_s)
        if holder is not None and holder != token:
            return Refusal.RESERVED
        if holder is None and len(self._held) >= _LIMIT:
            self.expire(now_s)
            if len(self._held) >= _LIMIT:
                return Refusal.BUSY
        self._held[key] = token, now_s + ttl_s, client
        return None

    def release(self, key: bytes, token: bytes) -> None:
        """End the reservation of `key`, if it is `token`'s."""
        if key in self._held and self._held[key][0] == token:
            del self._held[key]

    def void(self, key: bytes) -> None:
        """End the reservation of `key`, whoever has it: its holder will find the commit refused."""
        self._held.pop(key, None)

    def release_all(self, client: object) -> None:
        """End all reservations of `client`."""
        for key in [key for key, (_, _, holder) in self._held.items() if holder is client]:
            del self._held[key]

    def refusal(self, key: bytes, token: bytes | None, now_s: float) -> Refusal | None:
        """Return why a commit of `key` with `token` is refused; None when it is not."""
        holder = self._holder(key, now_s)
        if token is None:
            return None if holder is None else Refusal.RESERVED
        return None if holder == token else Refusal.NOT_HELD

    def expire(self, now_s: float) -> None:
        """Forget what has run out."""
        for key in [key for key, (_, deadline, _) in self._held.items() if deadline <= now_s]:
            del self._held[key]

    def _holder(self, key: bytes, now_s: float) -> bytes | None:
        token, deadline, _client = self._held.get(key, (None, 0.0, None))
        return token if deadline > now_s else None
