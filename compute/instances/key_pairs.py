"""Key pairs: public keys by name, of a user, whatever the project. Servers keep what they were made with."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from cluster.controlplane.database import refusing_duplicates
from compute.instances.errors import Conflict, NotFound
from compute.instances.schema.key_pairs import key_pairs
from compute.records import columns_of, record_of


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """One key pair; of the private key we know nothing."""

    user_id: str
    name: str
    number: int  # what old versions of the API show as the id
    type: str
    fingerprint: str
    public_key: str
    created_at_us: int


def find(connection: Connection, user_id: str, name: str) -> KeyPair | None:
    """Return a key pair; None: there is none."""
    query = select(key_pairs).where(key_pairs.c.user_id == user_id, key_pairs.c.name == name)
    row = connection.execute(query).one_or_none()
    return None if row is None else record_of(KeyPair, row)


def get(connection: Connection, user_id: str, name: str) -> KeyPair:
    """Return a key pair. Raise NotFound."""
    found = find(connection, user_id, name)
    if found is None:
        raise _Missing(user_id, name)
    return found


def of_user(connection: Connection, user_id: str) -> list[KeyPair]:
    """Return the key pairs of a user by name."""
    query = select(key_pairs).where(key_pairs.c.user_id == user_id).order_by(key_pairs.c.name)
    return [record_of(KeyPair, row) for row in connection.execute(query)]


def count(connection: Connection, user_id: str) -> int:
    """Return how many a user has."""
    query = select(func.count()).select_from(key_pairs).where(key_pairs.c.user_id == user_id)
    return int(connection.scalar(query) or 0)


def next_number(connection: Connection) -> int:
    """Return a number that no key pair has."""
    return int(connection.scalar(select(func.coalesce(func.max(key_pairs.c.number), 0))) or 0) + 1


def create(connection: Connection, wanted: KeyPair) -> KeyPair:
    """Store a key pair. Raise Conflict when the user has one of that name."""
    taken = Conflict(f"Key pair '{wanted.name}' already exists.")
    if find(connection, wanted.user_id, wanted.name) is not None:
        raise taken
    with refusing_duplicates(taken):
        connection.execute(insert(key_pairs).values(columns_of(key_pairs, wanted)))
    return wanted


def remove(connection: Connection, user_id: str, name: str) -> None:
    """Forget a key pair. Raise NotFound."""
    query = delete(key_pairs).where(key_pairs.c.user_id == user_id, key_pairs.c.name == name)
    if not connection.execute(query).rowcount:
        raise _Missing(user_id, name)


class _Missing(NotFound):
    def __init__(self, user_id: str, name: str) -> None:
        super().__init__("Keypair", f"{name} for user {user_id}")
