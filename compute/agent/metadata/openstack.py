"""What guests are told, in OpenStack's form: paths below /openstack. Pure.

Source: docs.openstack.org/nova, "Metadata": versions, and the files that each brought.
"""

import base64
import binascii
import json
from collections.abc import Mapping

from compute.agent.guest import Told

LATEST = "latest"
USER_DATA, PASSWORD = "user_data", "password"
# files that came with a version, and are in all later ones
_CAME = {
    "2012-08-10": ("meta_data.json", USER_DATA),
    "2013-04-04": (PASSWORD,),
    "2013-10-17": ("vendor_data.json",),
    "2015-10-15": ("network_data.json",),
    "2016-06-30": (),
    "2016-10-06": ("vendor_data2.json",),
    "2017-02-22": (),
    "2018-08-27": (),
    "2020-10-14": (),
}
VERSIONS = (*_CAME, LATEST)


def files(told: Told, version: str) -> Mapping[str, bytes]:
    """Return the files of a version by name; none for one that is not known."""
    if version not in VERSIONS:
        return {}
    names = {name for came, new in _CAME.items() for name in new if came <= version or version == LATEST}
    content = _content(told)
    return {name: content[name] for name in content if name in names}


def _content(told: Told) -> dict[str, bytes]:
    found = {
        "meta_data.json": json_of(told.meta_data),
        "vendor_data.json": json_of(told.vendor_data),
        "vendor_data2.json": json_of({"static": told.vendor_data} if told.vendor_data else {}),
        "network_data.json": json_of(told.network_data),
        PASSWORD: b"",
    }
    data = user_data(told)
    return {**found, USER_DATA: data} if data else found


def user_data(told: Told) -> bytes:
    """Return the user data; what is no base64 is as good as none."""
    try:
        return base64.b64decode("".join(told.user_data.split()), validate=True)
    except (binascii.Error, ValueError):
        return b""


def json_of(document: Mapping[str, object]) -> bytes:
    """Return a document as it is told."""
    return json.dumps(document).encode()
