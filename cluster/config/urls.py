"""Where clients find the services of a cluster, as its configuration says."""

from cluster.config.whole import Config


def reachable_host(listen: str) -> str:
    """Return where a client on this host finds what listens on `listen`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(listen, listen)  # noqa: S104


def bracketed(listen: str) -> str:
    """Return the host of a URL that leads to what listens on `listen`."""
    host = reachable_host(listen)
    return f"[{host}]" if ":" in host else host


def s3_url(config: Config) -> str:
    """Return where S3 clients on this host go."""
    return f"http://{bracketed(config.proxy_listen(0))}:{config.ports.s3_port}"


def swift_url(config: Config) -> str:
    """Return what the paths of Swift's API are below, for clients on this host."""
    return f"http://{bracketed(config.proxy_listen(0))}:{config.ports.swift_port}"
