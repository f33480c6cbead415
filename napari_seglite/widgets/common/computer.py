"""Which computer runs the networks: this one, or the one that the user named."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from qtpy.QtCore import QObject, Signal

from ...errors import RemoteError
from ...inference import Segmenter
from ...remote import Connection, RemoteAddress, RemoteFineTuner, RemoteSegmenter, read_address
from ...training import FineTuner
from . import preferences

if TYPE_CHECKING:
    from collections.abc import Callable

HERE, THERE = "here", "there"
STORED = {
    "computer": HERE,
    "remote_address": "",
    "remote_ca": "",
    "remote_certificate": "",
    "remote_key": "",
    "remote_unencrypted": False,
}


class Computer(QObject):
    """The computer that was chosen, shared by the tabs; remembered for the next session.

    Signals
    -------
    changed()
        Another computer was chosen, or something became known about it.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._stored = preferences.load(STORED)
        self._connection: Connection | None = None
        self._told = ""

    # ------------------------------------------------------------------ the choice
    @property
    def elsewhere(self) -> bool:
        """Whether another computer was chosen."""
        return bool(self._stored["computer"] == THERE and self.url)

    @property
    def url(self) -> str:
        """The address of the other computer; empty as long as the user gave none."""
        return str(self._stored["remote_address"])

    @property
    def host(self) -> str:
        """The name of the other computer."""
        return urlsplit(self.url).hostname or ""

    @property
    def files(self) -> tuple[str, str, str]:
        """Paths of the CA's certificate, the certificate and the key, as the user gave them."""
        ca, certificate, key = (
            str(self._stored[f"remote_{name}"]) for name in ("ca", "certificate", "key")
        )
        return ca, certificate, key

    @property
    def unencrypted(self) -> bool:
        """Whether the user agreed to do without encryption."""
        return bool(self._stored["remote_unencrypted"])

    @property
    def state(self) -> str:
        """A sentence about the other computer; empty for this one."""
        if not self.elsewhere:
            return ""
        if self._connection is None or not self._connection.alive:
            return "Not connected yet; the first job connects"
        return self._told or f"Connected to {self.host}"

    def choose(self, elsewhere: bool) -> None:
        """Choose this computer, or the other one."""
        self._store(computer=THERE if elsewhere else HERE)

    def set_address(self, address: RemoteAddress, connection: Connection | None, told: str) -> None:
        """Choose another computer.

        Parameters
        ----------
        address : RemoteAddress
            Where it is.
        connection : Connection or None
            To it, if there is one.
        told : str
            What it says of itself.
        """
        self.close()
        self._connection, self._told = connection, told
        self._store(
            computer=THERE,
            remote_address=address.url,
            remote_ca=address.ca,
            remote_certificate=address.certificate,
            remote_key=address.key,
            remote_unencrypted=address.unencrypted,
        )

    def _store(self, **values: str | bool) -> None:
        self._stored |= values
        preferences.save(values)
        self.changed.emit()

    # ------------------------------------------------------------------ the work
    def segmenter(self, here: Segmenter) -> Segmenter:
        """Return what segments: the segmenter of this computer, or one of the other.

        Raises
        ------
        RemoteError
            If the address cannot be used any more.
        """
        if not self.elsewhere:
            return here
        return RemoteSegmenter(here.store, here.in_memory, connection=self._connected())

    def tuner(self) -> Callable[..., FineTuner]:
        """Return what makes a `FineTuner` on this computer or the other; errors as `segmenter`."""
        return partial(RemoteFineTuner, self._connected()) if self.elsewhere else FineTuner

    def _connected(self) -> Connection:
        if self._connection is None:
            try:
                address = read_address(self.url, *self.files, unencrypted=self.unencrypted)
            except RemoteError as error:
                raise RemoteError(f"{error} Edit it beside Compute on.") from error
            self._connection = Connection(address)
        return self._connection

    def close(self) -> None:
        """Give up the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._told = None, ""
