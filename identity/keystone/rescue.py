"""Help when nobody can log in: a new password, from whoever has the cluster's files. The service may run or not.

The user, and the domain that it is in, are enabled, its failures forgotten, and its tokens end. The administrator is
made again, with its project and roles, if it is not there: it is who can help all others.
"""

from sqlalchemy import Connection

from identity.keystone import bootstrap, domains, projects, users
from identity.keystone.bootstrap import Beginning
from identity.keystone.settings import Settings
from identity.keystone.users import User


def reset(
    connection: Connection, name: str, domain_id: str, wish: Beginning, settings: Settings, now_us: int
) -> User:
    """Give the user `name` of a domain the password of `wish`. Raise NotFound, BadRequest."""
    places = [domains.get(connection, domain_id)]
    if (name, domain_id) == (wish.user, settings.default_domain_id):
        begun = bootstrap.ensure(connection, wish, settings, now_us)
        places.append(projects.get(connection, begun.project_id))
    for place in places:  # the domain first: without it nothing in it can be enabled
        if not place.enabled:
            projects.change(connection, place, {"enabled": True}, now_us)
    user = users.find(connection, name, domain_id)
    return users.change(connection, user, {"enabled": True, "password": wish.password}, settings, now_us)
