"""All who may use the cluster: the users of the bare cluster and, where it is enabled, those of the identity service.

Both at once: a key or a token belongs to one of the two, by what it looks like and where it is found. Whom nobody knows
is looked for once more after both have read what is new.
"""

from cluster.config import Config
from cluster.coordination.interface import Coordination
from identity.directory import Directory
from identity.interfaces import Principal, Signer, Tokens, Users
from identity.keystone.access.keys import KeyDirectory
from identity.keystone.access.tokens import MemberTokens
from identity.keystone.sealing import Seal
from identity.keystone.tokens.following import Following
from identity.keystone.tokens.validation import TokenValidator
from identity.tokens import PREFIX
from identity.tokens import Tokens as BareTokens
from identity.users import User


class TieredUsers:
    """`identity.interfaces.Users`: users of the bare cluster, and EC2 keys."""

    def __init__(self, directory: Directory, keys: KeyDirectory) -> None:
        self._directory = directory
        self._keys = keys

    def by_access_key(self, access_key: str) -> Signer | None:
        """Return who signs with `access_key`."""
        found = self._known(access_key)
        if found is None and (self._directory.read_new() | self._keys.read_new()):
            found = self._known(access_key)
        return found

    def by_name(self, name: str) -> User | None:
        """Return the user of the bare cluster of this name."""
        return self._directory.by_name(name)

    def _known(self, access_key: str) -> Signer | None:
        return self._directory.known_by_access_key(access_key) or self._keys.known_by_access_key(access_key)


class TieredTokens:
    """`identity.interfaces.Tokens`: those of /auth/v1.0, and of the identity service."""

    def __init__(self, bare: BareTokens, members: MemberTokens) -> None:
        self._bare = bare
        self._members = members

    def issue(self, user: User) -> tuple[str, int]:
        """Return a token for a user of the bare cluster, and its expiry in seconds since 1970."""
        return self._bare.issue(user)

    def verify(self, token: str) -> Principal | None:
        """Return whose `token` is, or None when it is not, or no longer, good."""
        return self._bare.verify(token) if token.startswith(PREFIX) else self._members.verify(token)


class Identity:
    """What a proxy asks. `start` it on the event loop."""

    def __init__(self, coordination: Coordination, config: Config) -> None:
        key = config.cluster.key_bytes
        directory = Directory(coordination)
        bare = BareTokens(key, directory, config.proxy.token_ttl_s)
        self.users: Users = directory
        self.tokens: Tokens = bare
        self._followed: list[Directory | KeyDirectory | Following] = [directory]
        if config.identity.enabled:
            keys, following = KeyDirectory(coordination, Seal(key)), Following(coordination)
            self.users = TieredUsers(directory, keys)
            self.tokens = TieredTokens(bare, MemberTokens(TokenValidator(following.keys, following.revoked)))
            self._followed += [keys, following]

    def start(self) -> None:
        """Read all there is and follow it. Raise `coordination.errors.Unavailable`."""
        for each in self._followed:
            each.start()

    def close(self) -> None:
        """Follow no more."""
        for each in self._followed:
            each.close()
