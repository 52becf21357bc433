"""`[identity]`: the identity service, OpenStack's Keystone."""

from dataclasses import dataclass
from typing import Annotated

from cluster.config.units import DAY_S
from cluster.settings import Limits, Meaning

LONGEST_TOKEN_S = int(DAY_S)  # what was revoked is remembered for as long
# periods of rotation for which a key opens tokens after the last one was made with it: of five keys one is staged, one
# makes tokens, and three are older
PERIODS_KEPT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityConfig:
    """The identity service."""

    enabled: Annotated[
        bool,
        Meaning(
            "Whether it runs, and proxies take its tokens and EC2 keys beside the keys of `holdfast user`. It takes "
            "about 120 MB."
        ),
    ] = True
    database: Annotated[
        str,
        Meaning(
            "SQLAlchemy URL of its database, such as postgresql+psycopg://USER:PASSWORD@HOST/NAME. Empty: identity.db "
            "in the data directory, by SQLite."
        ),
    ] = ""
    public_url: Annotated[
        str,
        Meaning(
            "Where clients find it, without /v3, such as https://cloud.example:5000: links and the catalog have it. "
            "Empty: http, and the address and port of [ports]."
        ),
    ] = ""
    s3_url: Annotated[str, Meaning("Where clients find S3, for the catalog. Empty: as [ports] says.")] = ""
    swift_url: Annotated[
        str, Meaning("Where clients find Swift, without /v1, for the catalog. Empty: as [ports] says.")
    ] = ""
    region: Annotated[str, Meaning("Region of the catalog's endpoints; S3 clients sign with that of [proxy].")] = (
        "RegionOne"
    )
    policy_file: Annotated[
        str,
        Meaning(
            "policy.yaml, in oslo.policy's format, relative to the data directory: rules that differ from the "
            "defaults. Empty: none do."
        ),
    ] = ""
    token_ttl_s: Annotated[
        int,
        Meaning(
            "Life of a token. Small: clients log in more often; large: what was revoked is remembered for longer. "
            "At most three times key_rotation_s."
        ),
        Limits(60, LONGEST_TOKEN_S),
    ] = 3600
    key_rotation_s: Annotated[
        float,
        Meaning(
            "Time after which the key that tokens are sealed with is replaced. Small: keys that leak are of use for a "
            "shorter time, and tokens must live shorter; large: the opposite."
        ),
        Limits(60, 365 * DAY_S),
    ] = DAY_S
    lockout_failures: Annotated[
        int,
        Meaning("Wrong passwords in a row that lock a user out. Small: typing errors do; 0: nothing slows guessing."),
        Limits(0, 1000),
    ] = 6
    lockout_s: Annotated[
        int,
        Meaning("For how long. Large: who knows a name can keep its user out for long."),
        Limits(1, LONGEST_TOKEN_S),
    ] = 300
    password_pattern: Annotated[
        str, Meaning("Regular expression that a whole new password must match. Empty: any password will do.")
    ] = ""
    password_words: Annotated[str, Meaning("What users are told about password_pattern.")] = ""
    password_days: Annotated[
        int, Meaning("Days after which a password must be changed; 0: never."), Limits(0, 10_000)
    ] = 0
    password_history: Annotated[
        int, Meaning("How many former passwords, this one included, a user may not choose again."), Limits(0, 100)
    ] = 0
    max_connections: Annotated[
        int, Meaning("Client connections at a time; more wait to be accepted."), Limits(8, 10_000)
    ] = 512
