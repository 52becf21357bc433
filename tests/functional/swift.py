"""Swift requests by hand, for what its clients never send."""

from collections.abc import Mapping
from typing import Any

import requests

from tests.cluster import Cluster


def log_in(cluster: Cluster, name: str, key: str) -> requests.Response:
    """Ask /auth/v1.0 for a token."""
    headers = {"X-Auth-User": name, "X-Auth-Key": key}
    return requests.get(cluster.env["ST_AUTH"], headers=headers, timeout=10)


class Account:
    """One user's view of an account, by a kept connection."""

    def __init__(self, cluster: Cluster, user: Mapping[str, Any] | None = None) -> None:
        name, key = (user["name"], user["secret_key"]) if user else (cluster.env["ST_USER"], cluster.env["ST_KEY"])
        answer = log_in(cluster, name, key)
        answer.raise_for_status()
        self.url = answer.headers["X-Storage-Url"]
        self._session = requests.Session()
        self._session.headers["X-Auth-Token"] = answer.headers["X-Auth-Token"]

    def __call__(self, method: str, path: str = "", data: Any = b"", **headers: str) -> requests.Response:
        """Send a request; an underscore in a header's name stands for a dash."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._session.request(method, self.url + path, data=data, headers=fields, timeout=20)
