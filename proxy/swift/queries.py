"""Listing parameters -> what is asked of the object service, and in which format it is answered."""

from collections.abc import Mapping

from proxy.http.message import Headers
from proxy.objects.model import ListingQuery
from proxy.swift import listing
from proxy.swift.errors import SwiftError
from proxy.swift.parameters import best_match, is_true


def listing_query(parameters: Mapping[str, str], maximum: int) -> ListingQuery:
    """Return the query of a listing. Raise SwiftError when it wants more than `maximum` rows."""
    wanted = parameters.get("limit", "")
    limit = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 10 else maximum
    if limit > maximum:
        raise SwiftError(412, f"Maximum limit is {maximum}")
    prefix, delimiter = parameters.get("prefix", ""), parameters.get("delimiter", "")
    if "path" in parameters:
        path = parameters["path"]
        prefix, delimiter = path.rstrip("/") + "/" if path else "", "/"
    return ListingQuery(
        limit=limit,
        prefix=prefix,
        marker=parameters.get("marker", ""),
        end_marker=parameters.get("end_marker", ""),
        delimiter=delimiter,
        reverse=is_true(parameters.get("reverse", "")),
    )


def content_type(headers: Headers, parameters: Mapping[str, str]) -> str:
    """Return the type of the listing: what `format` says, else what Accept likes best."""
    if parameters.get("format"):
        return listing.BY_NAME.get(parameters["format"].lower(), listing.PLAIN)
    accepted = best_match(headers.get("accept"), listing.FORMATS)
    if accepted is None:
        raise SwiftError(406)
    return accepted
