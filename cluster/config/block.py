"""`[block]`: volumes."""

from dataclasses import dataclass
from typing import Annotated

from cluster.config.units import LOOPBACK
from cluster.settings import Limits, Meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockConfig:
    """Volumes."""

    gateways: Annotated[
        int,
        Meaning(
            "How many block gateways serve volumes; 0: none. A volume is open at one of them at a time, and each has a "
            "port of its own."
        ),
        Limits(0, 16),
    ] = 1
    allow: Annotated[
        tuple[str, ...],
        Meaning(
            "Who may open which volumes by TCP: rules such as \"backup-* from 10.0.0.0/8 as alice,bob tls "
            "read-only\", or \"* granted\": only for whom a service has attached them. "
            "The first whose pattern fits decides; what none fits is for nobody. Empty: whoever reaches the port."
        ),
    ] = ()
    tls_certificate: Annotated[
        str,
        Meaning(
            "The NBD port's certificate, with tls_key; the port then takes TLS only. Paths are relative to the data "
            "directory. Without TLS's client names and without rules the port is open to this host alone."
        ),
    ] = ""
    tls_key: Annotated[str, Meaning("Key of tls_certificate: a file that its owner alone can read.")] = ""
    tls_client_authority: Annotated[
        str, Meaning("Certificate authority; clients must show a certificate of it. Its common name is who they are.")
    ] = ""
    tls_psk_file: Annotated[
        str, Meaning("Instead of certificates: shared keys, a file of lines NAME:HEX DIGITS. Takes Python 3.13.")
    ] = ""

    def address(self, listen: str) -> str:
        """Return the address of the NBD port: `listen`, if it is said who may come; else this host alone may."""
        tells_apart = self.allow or self.tls_client_authority or self.tls_psk_file
        return listen if tells_apart else LOOPBACK
