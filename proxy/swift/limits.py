"""Limits of the dialect: Swift's own defaults. `info.py` announces them."""

MAX_FILE_SIZE = 5 * 1024**3  # bytes of one plain object
MAX_ACCOUNT_NAME_LENGTH = 256  # of names: bytes of UTF-8
MAX_CONTAINER_NAME_LENGTH = 256
MAX_OBJECT_NAME_LENGTH = 1024

MAX_META_NAME_LENGTH = 128  # without the prefix
MAX_META_VALUE_LENGTH = 256
MAX_META_COUNT = 90
MAX_META_OVERALL_SIZE = 4096  # names and values
MAX_HEADER_SIZE = 8192  # one value

CONTAINER_LISTING_LIMIT = 10_000
ACCOUNT_LISTING_LIMIT = 10_000

MAX_MANIFEST_SEGMENTS = 1000  # segments that are objects
MAX_MANIFEST_SIZE = 8 * 1024**2  # bytes of JSON
MAX_MANIFEST_DEPTH = 10  # manifests within manifests

MAX_DELETES_PER_REQUEST = 10_000
MAX_FAILED_DELETES = 1000
MAX_CONTAINERS_PER_EXTRACTION = 10_000
MAX_FAILED_EXTRACTIONS = 1000
HEARTBEAT_S = 10.0  # a long answer sends white space at least this often
