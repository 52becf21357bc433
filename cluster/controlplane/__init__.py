"""What all services of the control plane share: databases, HTTP in OpenStack's manner, and the process that serves it.

A service is a WSGI application (falcon) over SQLAlchemy Core, made of *operations*: functions from the context of a
request to an `Answer`. One request is one transaction (`database`), begun before the operation and repeated as a whole
when the database asks for that; so an operation does nothing that cannot be undone but write to its connection.

Read first: application (from routes and operations to a WSGI application), database. `runner` alone knows eventlet.
"""
