"""The lock of a project: one program at a time writes it, and notices when the ground moves."""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ..errors import AnnotationError
from ..formats import read_json
from ..images import account

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK, OWNER = "lock", "owner.json"
# Seconds between two signs of life, and those after which another machine's program counts as dead.
BEAT, DEAD = 15.0, 120.0
_LARGEST = 10_000


class ProjectInUse(AnnotationError):
    """Another program has the project open."""


class ProjectMoved(AnnotationError):
    """The folder of an open project was moved, deleted or taken over by another program."""


@dataclass(frozen=True)
class Owner:
    """The program that has a project open.

    Attributes
    ----------
    host, user : str
        Names of its computer and of the account.
    process : int
        Its id.
    started : float
        When the process started, in seconds since 1970.
    since : str
        When it opened the project, ISO 8601 in UTC.
    token : str
        Different for each opening.
    file : int
        Number (inode) of the locked file.
    """

    host: str
    user: str
    process: int
    started: float
    since: str
    token: str
    file: int

    @classmethod
    def here(cls) -> Owner:
        """Return this process as the owner, of no file yet."""
        return cls(
            platform.node(),
            account(),
            os.getpid(),
            psutil.Process().create_time(),
            datetime.now(UTC).isoformat(timespec="seconds"),
            uuid.uuid4().hex,
            0,
        )

    @property
    def runs(self) -> bool:
        """Whether its process runs on this computer."""
        try:
            return bool(abs(psutil.Process(self.process).create_time() - self.started) < 2)
        except psutil.Error:
            return False

    def __str__(self) -> str:
        """Say who it is, for the user."""
        return f"{self.user or 'somebody'} on {self.host or 'a computer'}, since {self.since}"


class ProjectLock:
    """Keeps other programs out of a project while it is open.

    The operating system's lock on a file ends with the process that holds it. A second file says
    who holds it, for messages, for network folders whose locks do not reach other computers, and
    in case a program that synchronises folders removes the first one.

    Parameters
    ----------
    folder : Path
        Of the project.

    Attributes
    ----------
    taken_over : str
        A sentence if the lock was left by a program on another computer; else empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.taken_over = folder, ""
        self._owner = Owner.here()
        self._lock: BaseFileLock | None = None
        self._identity: tuple[int, int] | None = None
        self._beaten = 0.0

    def acquire(self) -> None:
        """Lock the project.

        Raises
        ------
        ProjectInUse
            If another program has it open.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / LOCK, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise self._in_use(self._read()) from error
        except NotImplementedError:  # a network folder without locks: the owner's file must do
            pass
        try:
            other = self._read()
            if other is not None and self._lives(other):
                raise self._in_use(other)
            if other is not None and other.host != self._owner.host:
                self.taken_over = (
                    f"The project was left open by {other}. Nothing was heard from there for "
                    f"{DEAD:.0f} s, so it was taken over."
                )
            self._lock = lock
            self._write()
            self._identity = self._identify()
        except BaseException:
            self._lock = None
            lock.release()
            raise

    def check(self) -> None:
        """Check that the folder is still the one that was locked, and that the lock still holds.

        A lock that only disappeared is made again.

        Raises
        ------
        ProjectMoved
            If the folder is not there any more, or another program has opened the project.
        """
        try:
            moved = self._identify() != self._identity
        except OSError:
            moved = True
        if moved:
            raise ProjectMoved(
                f"The project's folder {self.folder} was moved or deleted. Put it back, or save "
                "elsewhere."
            )
        other = self._read()
        if other is not None and other.token != self._owner.token:
            raise ProjectMoved(
                f"The lock of {self.folder} was removed, and the project was opened by {other}. "
                "Close it there, or save elsewhere."
            )
        if other is None or not (self.folder / LOCK).exists():
            self._lock_again()
        elif time.monotonic() - self._beaten > BEAT:
            os.utime(self.folder / OWNER)
            self._beaten = time.monotonic()

    def release(self) -> None:
        """Let other programs open the project."""
        if self._lock is None:
            return
        try:
            other = self._read()
            if other is not None and other.token == self._owner.token:
                (self.folder / OWNER).unlink(missing_ok=True)
        except OSError:
            pass  # the folder is gone, or cannot be written
        finally:
            self._lock.release()
            self._lock = None

    def _lock_again(self) -> None:
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / LOCK, timeout=0, thread_local=False)
        if not (self.folder / LOCK).exists():
            try:
                lock.acquire()
            except (Timeout, NotImplementedError) as error:
                raise ProjectMoved(
                    f"The lock of {self.folder} was removed, and another program has the project "
                    "open now. Close it there, or save elsewhere."
                ) from error
            if self._lock is not None:
                self._lock.release()
            self._lock = lock
        self._write()

    def _identify(self) -> tuple[int, int]:
        status = self.folder.stat()
        return status.st_dev, status.st_ino

    def _lives(self, owner: Owner) -> bool:
        """Whether the program that wrote the owner's file still runs, as far as can be told."""
        if owner.host == self._owner.host:
            # Whoever still locked this very file would have kept us out.
            return owner.runs and owner.file != (self.folder / LOCK).stat().st_ino
        # By the clock of the folder's computer, which wrote both.
        (self.folder / LOCK).touch()
        now = (self.folder / LOCK).stat().st_mtime
        return now - (self.folder / OWNER).stat().st_mtime < DEAD

    def _read(self) -> Owner | None:
        path = self.folder / OWNER
        if not path.is_file():
            return None
        try:
            return read_json(path, Owner, _LARGEST, AnnotationError)
        except AnnotationError:
            return None

    def _write(self) -> None:
        self._owner = replace(self._owner, file=(self.folder / LOCK).stat().st_ino)
        (self.folder / OWNER).write_text(json.dumps(asdict(self._owner)), "utf-8")
        self._beaten = time.monotonic()

    def _in_use(self, owner: Owner | None) -> ProjectInUse:
        who = f" ({owner})" if owner else ""
        return ProjectInUse(
            f"The project {self.folder} is open in another window or program{who}. Close it "
            "there, or work in another project."
        )
