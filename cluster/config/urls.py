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


def swift_auth_url(config: Config) -> str:
    """Return where Swift clients on this host log in."""
    return f"{swift_url(config)}/auth/v1.0"


def console_url(config: Config) -> str:
    """Return where browsers on this host find the console."""
    return f"http://{bracketed(config.ports.listen)}:{config.ports.console_port}/"


def nbd_url(config: Config, gateway: int = 0) -> str:
    """Return where NBD clients find the volumes of a gateway; the name of one goes behind the slash."""
    return f"nbd://{bracketed(config.gateway_listen(gateway))}:{config.ports.gateway_nbd_port(gateway)}/"
