"""Where another computer is, and how a connection to it is kept secret."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import RemoteError

# Of a Dask scheduler, if an address names no port.
PORT = 8786
FILES = {"ca": "CA's certificate", "certificate": "certificate", "key": "key"}


@dataclass(frozen=True)
class RemoteAddress:
    """The address of a Dask scheduler, with the files of TLS.

    Attributes
    ----------
    url : str
        ``"tls://host:port"``, or ``"tcp://host:port"`` without encryption.
    ca, certificate, key : str
        Paths of PEM files for TLS: the certificate of the authority that signed those of all
        computers, this computer's own, and its private key. Together they are what admits this
        computer; Dask knows no passwords or tokens. Empty without TLS.
    unencrypted : bool
        Whether the user agreed that images and checkpoints travel for all of the network to read,
        and that whoever else is in the network could send programs to run to either computer.

    Raises
    ------
    RemoteError
        If the address cannot be used, a file of TLS is missing, or an unencrypted address is that
        of another computer and the user did not agree.
    """

    url: str
    ca: str = ""
    certificate: str = ""
    key: str = ""
    unencrypted: bool = False

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("tcp", "tls") and parts.hostname and parts.port
        except ValueError:
            usable = False
        if not usable:
            raise RemoteError(
                f"{self.url!r:.200} is no address of a Dask scheduler. Write it as "
                f"tls://computer:{PORT}, or tcp://localhost:{PORT} for an SSH tunnel."
            )
        if self.encrypted:
            self._check_files()
        elif not (self._local or self.unencrypted):
            raise RemoteError(
                f"{self.url} is not encrypted: anybody in the network could read what is sent, or "
                "send programs to both computers. Use TLS (tls://…) or an SSH tunnel to "
                "localhost, or agree to do without."
            )

    def _check_files(self) -> None:
        for name, title in FILES.items():
            path = getattr(self, name)
            if not path:
                raise RemoteError(f"TLS needs three files: choose the {title}, too.")
            try:
                with Path(path).expanduser().open("rb"):
                    pass
            except OSError as error:
                raise RemoteError(
                    f"The {title} for TLS cannot be read: {path} ({error.strerror})."
                ) from error

    @property
    def encrypted(self) -> bool:
        """Whether TLS is used."""
        return self.url.startswith("tls:")

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        return self.url.partition("://")[2]

    @property
    def _local(self) -> bool:
        """Whether what is sent stays on this computer, where SSH may take it on."""
        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def security(self) -> Any:
        """Return the `distributed.Security` of a client."""
        from distributed import Security

        if not self.encrypted:
            # Whatever Dask's own settings say, which may be for another cluster.
            return Security(require_encryption=False)
        ca, certificate, key = (str(Path(getattr(self, name)).expanduser()) for name in FILES)
        return Security(
            tls_ca_file=ca, tls_client_cert=certificate, tls_client_key=key, require_encryption=True
        )


def read_address(
    text: str, ca: str = "", certificate: str = "", key: str = "", unencrypted: bool = False
) -> RemoteAddress:
    """Return the address that a person wrote, with what they left out filled in.

    Parameters
    ----------
    text : str
        Such as ``"tls://gpu-room:8786"`` or ``"gpu-room"``.
    ca, certificate, key, unencrypted
        See `RemoteAddress`, also for the errors.

    Examples
    --------
    >>> read_address("localhost").url
    'tcp://localhost:8786'
    """
    text = text.strip().rstrip("/")
    if text and "://" not in text:
        text = f"{'tls' if ca or certificate or key else 'tcp'}://{text}"
    scheme, _, rest = text.partition("://")
    if rest and ":" not in rest.rpartition("]")[2]:
        text = f"{scheme}://{rest}:{PORT}"
    return RemoteAddress(text, ca.strip(), certificate.strip(), key.strip(), unencrypted)
