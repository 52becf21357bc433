"""Who owns what: elements that name a user, and access control lists. No I/O.

Only a bucket's owner may use it, so every list has one grant: the owner's full control.
"""

from identity.interfaces import Principal
from proxy.s3.xml import document, text

_XSI = "http://www.w3.org/2001/XMLSchema-instance"


def person(element: str, user: Principal) -> str:
    """Return an Owner, an Initiator or the like."""
    return f"<{element}><ID>{user.id}</ID><DisplayName>{text(user.display_name)}</DisplayName></{element}>"


def access_control_policy(user: Principal) -> bytes:
    """Return the list of what `user` owns."""
    identity = f"<ID>{user.id}</ID><DisplayName>{text(user.display_name)}</DisplayName>"
    return document(
        "AccessControlPolicy",
        f'<Owner>{identity}</Owner><AccessControlList><Grant><Grantee xmlns:xsi="{_XSI}" '
        f'xsi:type="CanonicalUser">{identity}</Grantee><Permission>FULL_CONTROL</Permission></Grant>'
        "</AccessControlList>",
    )
