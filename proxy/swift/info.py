"""GET /info: what this service can do, in the words that Swift clients look for. Only what is true."""

import json

from cluster.version import VERSION
from proxy.http.message import Response
from proxy.swift import limits, symlink, tempurl
from proxy.swift.call import SwiftConfig
from proxy.swift.headers import OBJECT_META
from proxy.swift.names import VERSIONS

SWIFT_VERSION = "2.38.0"  # whose behaviour this is: clients take from it what they may expect


def capabilities(config: SwiftConfig) -> dict[str, object]:
    """Return what is announced."""
    return {
        "swift": {
            "version": SWIFT_VERSION,
            "max_file_size": limits.MAX_FILE_SIZE,
            "max_meta_name_length": limits.MAX_META_NAME_LENGTH,
            "max_meta_value_length": limits.MAX_META_VALUE_LENGTH,
            "max_meta_count": limits.MAX_META_COUNT,
            "max_meta_overall_size": limits.MAX_META_OVERALL_SIZE,
            "max_header_size": limits.MAX_HEADER_SIZE,
            "max_object_name_length": limits.MAX_OBJECT_NAME_LENGTH,
            "max_container_name_length": limits.MAX_CONTAINER_NAME_LENGTH,
            "max_account_name_length": limits.MAX_ACCOUNT_NAME_LENGTH,
            "container_listing_limit": limits.CONTAINER_LISTING_LIMIT,
            "account_listing_limit": limits.ACCOUNT_LISTING_LIMIT,
            "strict_cors_mode": True,
            "allow_account_management": False,
            "account_autocreate": True,
            "valid_api_versions": list(VERSIONS),
            "policies": [{"name": config.policy, "aliases": config.policy, "default": True}],
        },
        "slo": {
            "max_manifest_segments": limits.MAX_MANIFEST_SEGMENTS,
            "max_manifest_size": limits.MAX_MANIFEST_SIZE,
            "min_segment_size": 1,
            "yield_frequency": int(limits.HEARTBEAT_S),
            "allow_async_delete": False,
        },
        "dlo": {},
        "bulk_delete": {
            "max_deletes_per_request": limits.MAX_DELETES_PER_REQUEST,
            "max_failed_deletes": limits.MAX_FAILED_DELETES,
        },
        "bulk_upload": {
            "max_containers_per_extraction": limits.MAX_CONTAINERS_PER_EXTRACTION,
            "max_failed_extractions": limits.MAX_FAILED_EXTRACTIONS,
        },
        "account_quotas": {},
        "container_quotas": {},
        "formpost": {"allowed_digests": sorted(tempurl.DIGESTS), "deprecated_digests": ["sha1"]},
        "staticweb": {},
        "tempurl": {
            "methods": list(tempurl.METHODS),
            "allowed_digests": list(tempurl.DIGESTS),
            "incoming_remove_headers": ["x-timestamp"],
            "incoming_allow_headers": [],
            "outgoing_remove_headers": [f"{OBJECT_META}*"],
            "outgoing_allow_headers": [f"{tempurl.SHOWN_META}*"],
        },
        "symlink": {"symloop_max": symlink.SYMLOOP_MAX, "static_links": True},
        "tempauth": {"account_acls": True},
        "holdfast": {"version": VERSION},
    }


def info_response(config: SwiftConfig) -> Response:
    """Return the answer to GET /info."""
    body = json.dumps(capabilities(config)).encode()
    return Response(200, [("Content-Type", "application/json; charset=UTF-8")], body)


def health_response() -> Response:
    """Return the answer to GET /healthcheck."""
    return Response(200, [("Content-Type", "text/plain; charset=UTF-8")], b"OK")
