"""The connection to another computer: a client of its Dask scheduler, and a session with a worker.

This computer only calls out; nothing listens here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any
from uuid import uuid4

from .. import __version__
from ..checkpoints import CheckpointStore
from ..errors import Cancelled, RemoteError
from ..runtime import Stop, never, wait_for
from .address import RemoteAddress
from .messages import LAST, Controls, Ended, Failed, Message, WasCancelled
from .session import Session

log = logging.getLogger(__name__)

PACKAGE = "napari-seglite"
# Seconds for connecting, for an answer, and for one once the user has cancelled.
CONNECT, ANSWER, PATIENCE = 10.0, 30.0, 3.0
# Bytes of a file that are sent at once.
PIECE = 4_000_000


class Connection:
    """A connection to another computer, made on first use and kept.

    Parameters
    ----------
    address : RemoteAddress
        Of its Dask scheduler.
    """

    def __init__(self, address: RemoteAddress) -> None:
        self.address = address
        self._client: Any = None
        self._lock = Lock()

    @property
    def alive(self) -> bool:
        """Whether there is a connection now."""
        return self._client is not None and self._client.status == "running"

    # ------------------------------------------------------------------ connecting
    def describe(self, stop: Stop = never) -> str:
        """Connect, and return a sentence about the other computer.

        Raises
        ------
        RemoteError
            If it cannot be reached or does not fit.
        Cancelled
            If `stop` returned True.
        """
        with self.session(stop) as session:
            computer, device = session.call("describe")
        return f"Connected to {computer}, which computes on {device}."

    @contextmanager
    def session(self, stop: Stop = never, silence: float | None = None) -> Iterator[RemoteSession]:
        """Make a session with a worker, and close it at the end of the context.

        Parameters
        ----------
        stop : callable
            Ends all waiting once it returns True.
        silence : float, optional
            Seconds without a word from here after which the worker ends the work.

        Raises
        ------
        RemoteError
            If the other computer cannot be reached or does not fit.
        Cancelled
            If `stop` returned True.
        """
        with self._lock:
            workers = wait_for(self._connect, stop)
        options = {} if silence is None else {"silence": silence}
        future = self._client.submit(
            Session,
            **options,
            actor=True,
            pure=False,
            key=f"seglite-session-{uuid4().hex}",
            workers=workers,
        )
        try:
            actor = self._made(future, stop)
            session = RemoteSession(self._client, future, actor, self.address.name, stop)
            try:
                yield session
            finally:
                session.close()
        finally:
            with suppress(Exception):
                future.release()

    def close(self) -> None:
        """Give up the connection."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                client.close(timeout=1)

    def _connect(self) -> list[str]:
        """Connect if need be, and return the addresses of the workers of the same version."""
        try:
            from distributed import Client
        except ImportError as error:
            raise RemoteError(
                "Another computer is reached with the package distributed: pip install "
                "'napari-seglite[cluster]'."
            ) from error
        if self._client is not None and self._client.status != "running":
            self.close()
        if self._client is None:
            try:
                self._client = Client(
                    self.address.url,
                    security=self.address.security(),
                    timeout=CONNECT,
                    set_as_default=False,
                    direct_to_workers=False,
                    name=PACKAGE,
                )
            except Exception as error:  # of sockets, of SSL, of Dask
                raise RemoteError(self._unreachable(error)) from error
        try:
            return self._workers()
        except RemoteError:
            raise
        except Exception as error:
            self.close()
            raise RemoteError(self._unreachable(error)) from error

    def _unreachable(self, error: Exception) -> str:
        hint = (
            "Is its scheduler started with TLS, and are the certificates of both signed by the "
            "same authority?"
            if self.address.encrypted
            else "Is the scheduler running there, without TLS? If it has TLS, write tls://…"
        )
        why = str(error).partition("\n")[0][:200]
        return f"No Dask scheduler answers at {self.address.url} ({why}). {hint}"

    def _workers(self) -> list[str]:
        """Return the addresses of the workers that have the same version as this computer."""
        try:
            scheduler = self._client.run_on_scheduler(version, PACKAGE)
        except PackageNotFoundError as error:
            scheduler = error
        found = self._client.run(version, PACKAGE, on_error="return")
        if not found:
            raise RemoteError(
                f"The scheduler at {self.address.name} has no workers. Start one there: dask "
                f"worker {self.address.url}"
            )
        fitting = [worker for worker, known in found.items() if known == __version__]
        for what, known in (("scheduler", scheduler), ("worker", next(iter(found.values())))):
            if known != __version__ and not (what == "worker" and fitting):
                has = f"no {PACKAGE}" if isinstance(known, Exception) else f"{PACKAGE} {known}"
                raise RemoteError(
                    f"The {what} at {self.address.name} has {has}, and this computer "
                    f"{__version__}. Install the same version on both."
                )
        return fitting

    def _made(self, future: Any, stop: Stop) -> Any:
        """Wait for a session, since all workers may be busy."""
        while not future.done():
            if stop():
                raise Cancelled
            if self._client is None or self._client.status != "running":
                raise RemoteError(f"The connection to {self.address.name} was lost.")
            time.sleep(0.02)
        try:
            return future.result(timeout=ANSWER)
        except Exception as error:
            text = str(error).partition("\n")[0][:300]
            raise RemoteError(f"{self.address.name} cannot begin: {text}.") from error


class RemoteSession:
    """A session with a worker, as this computer sees it.

    Parameters
    ----------
    client : distributed.Client
        Of the other computer.
    future : distributed.Future
        Of the session; its status tells whether the worker is still there.
    actor : distributed.Actor
        The `Session`.
    name : str
        Of the other computer, for messages.
    stop : callable
        Shortens waiting for an answer.
    """

    def __init__(self, client: Any, future: Any, actor: Any, name: str, stop: Stop) -> None:
        self._client, self._future, self._actor = client, future, actor
        self.name, self._stop = name, stop

    def call(self, method: str, *arguments: Any, patience: float = ANSWER) -> Any:
        """Call a method of the session there and return what it returns.

        Raises
        ------
        RemoteError
            If no answer comes.
        """
        begun = time.monotonic()
        try:
            # Never Dask's default client, which other plugins would compute with.
            with self._client.as_current():
                answer = getattr(self._actor, method)(*arguments)
            while True:
                try:
                    return answer.result(timeout=0.2)
                except TimeoutError:
                    waited = time.monotonic() - begun
                    gone = self._future.status != "finished"
                    if gone or waited > (min(patience, PATIENCE) if self._stop() else patience):
                        raise
        except Exception as error:  # of sockets, of Dask, or of a worker that is gone
            log.debug("No answer from %s", self.name, exc_info=True)
            raise RemoteError(
                f"The connection to {self.name} was lost, or its worker ended."
            ) from error

    def send_checkpoint(self, store: CheckpointStore, name: str) -> None:
        """Send the files of a checkpoint."""
        with TemporaryDirectory() as folder:
            archive = store.export(name, Path(folder) / "start.zip")
            with archive.open("rb") as file:
                while piece := file.read(PIECE):
                    self.call("receive", piece)

    def fetch(self, target: Path) -> None:
        """Fetch the zip file of the new checkpoint."""
        with target.open("wb") as file:
            while piece := self.call("read", file.tell(), PIECE):
                file.write(piece)

    def conversation(self, controls: Callable[[], Controls]) -> Generator[Message, None, Any]:
        """Exchange messages until the work has ended.

        Parameters
        ----------
        controls : callable
            Returns what to tell the other computer, before every exchange.

        Yields
        ------
        Message
            But for the last.

        Returns
        -------
        object
            What the work returned.

        Raises
        ------
        SegliteError
            As the work raised it.
        RemoteError
            If the connection is lost.
        Cancelled
            If the work was cancelled and has no result.
        """
        while True:
            said = controls()
            for message in self.call("exchange", said):
                if not isinstance(message, LAST):
                    yield message
                    continue
                match message:
                    case Ended(value):
                        return value
                    case Failed():
                        raise message.error()
                    case WasCancelled():
                        raise Cancelled

    def close(self) -> None:
        """End the work there, if it still runs."""
        with suppress(RemoteError):
            self.call("close", patience=PATIENCE)
