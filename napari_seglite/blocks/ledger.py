"""The ledger: what is segmented how, and which blocks are done; on disk beside the labels.

``ledger.json`` is written once, before any block, and says all that a process needs. Each step of
a block or batch leaves one file, which appears whole and only after the pixels are written: the
file is the mark. A run that was killed goes on with what has no mark.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from ..errors import SegliteError
from ..formats import open_files
from ..inference import SegmentRequest
from .cut import Cut
from .tables import pack, pack_labels, unpack

# In this order; each needs all of the one before.
Step = Literal["segment", "link", "number", "finish"]
STEPS: tuple[Step, ...] = get_args(Step)
# Blocks whose tables are read and numbered together.
BATCH = 64
_FILE, _CREATED, _DONE, _VERSION = "ledger.json", "created", "done.json", 1


@dataclass(frozen=True)
class Job:
    """What is segmented, and how.

    Attributes
    ----------
    source : str
        Path or address of the image, with the choice of a scene.
    request : SegmentRequest
        Of the whole image, without open choices.
    weights : str
        SHA-256 of the checkpoint's weights.
    limits : tuple of float
        Intensities that become 0 and 1.
    shape : tuple of int
        Of the image's level.
    cut : Cut
        Into blocks.
    """

    source: str
    request: SegmentRequest
    weights: str
    limits: tuple[float, float]
    shape: tuple[int, ...]
    cut: Cut

    @property
    def merges(self) -> bool:
        """Whether the pixels of a block depend on other blocks."""
        return self.request.output == "instances" or (self.request.min_size or 0) > 1

    def as_dict(self) -> dict[str, Any]:
        """Return the job as plain JSON data."""
        return {
            "version": _VERSION,
            "source": self.source,
            "request": self.request.as_dict(),
            "weights": self.weights,
            "limits": list(self.limits),
            "shape": list(self.shape),
            "cut": {name: _plain(value) for name, value in vars(self.cut).items()},
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Job:
        """Return the job that `as_dict` described."""
        cut = data["cut"]
        low, high = map(float, data["limits"])
        triples = {name: _triple(cut[name]) for name in ("shape", "edges", "margins")}
        return cls(
            str(data["source"]),
            SegmentRequest.from_dict(data["request"]),
            str(data["weights"]),
            (low, high),
            tuple(map(int, data["shape"])),
            Cut(int(cut["volumes"]), **triples),
        )

    def difference(self, other: Job) -> str:
        """Return the names of what makes two jobs different; empty if nothing does.

        The device makes no difference, and where the checkpoint and the image lie neither: their
        content does.
        """
        one, two = self.as_dict(), other.as_dict()
        names = [name for name in ("weights", "shape", "limits") if one[name] != two[name]]
        free = ("device", "checkpoint")
        for part, left_out in (("request", free), ("cut", ())):
            names += [
                name
                for name, value in one[part].items()
                if value != two[part][name] and name not in left_out
            ]
        return ", ".join(dict.fromkeys(names))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _triple(values: Any) -> tuple[int, int, int]:
    z, y, x = map(int, values)
    return z, y, x


class Ledger:
    """The ledger of some labels.

    Parameters
    ----------
    place : str
        Path or address of the labels. The ledger has the same name with ``.blocks`` at the end.
    """

    def __init__(self, place: str) -> None:
        self.place = place.rstrip("/")
        self.where = f"{self.place}.blocks"
        self.files = open_files(self.where)
        self._job: Job | None = None

    # ------------------------------------------------------------------ the job
    def find(self) -> Job | None:
        """Return the job, or None if there is no ledger.

        Raises
        ------
        SegliteError
            If the ledger cannot be read.
        """
        content = self.files.read(_FILE)
        if content is None:
            return None
        try:
            data = json.loads(content)
            if data["version"] != _VERSION:
                raise ValueError(f"its version is {data['version']}, not {_VERSION}")
            return Job.from_dict(data)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise SegliteError(
                f"{self.where}: the ledger cannot be read ({error}). Remove it and the labels, and "
                "start again."
            ) from error

    def steps(self) -> tuple[Step, ...]:
        """Return the steps that the job needs; classes of any size need no neighbours."""
        return STEPS if self.job.merges else STEPS[:1]

    @property
    def job(self) -> Job:
        """The job.

        Raises
        ------
        SegliteError
            If there is no ledger, or it cannot be read.
        """
        if self._job is None:
            self._job = self.find()
        if self._job is None:
            raise SegliteError(
                f"{self.place}: there is no ledger of blocks beside these labels, "
                f"{self.where}. Start with seglite segment."
            )
        return self._job

    def write_job(self, job: Job) -> None:
        """Write the job."""
        self.files.write(_FILE, json.dumps(job.as_dict(), indent=1).encode())

    def mark_created(self) -> None:
        """Note that the metadata of the labels are written."""
        self.files.write(_CREATED, b"")

    @property
    def created(self) -> bool:
        """Whether the metadata of the labels are written, so that blocks can be."""
        return self.files.read(_CREATED) is not None

    # ------------------------------------------------------------------ marks
    def units(self, step: Step) -> int:
        """Return how many units of work a step has: blocks, batches of them, or 1."""
        count = self.job.cut.count
        return {"segment": count, "link": -(-count // BATCH), "number": 1, "finish": count}[step]

    def left(self, step: Step, part: tuple[int, int] = (0, 1)) -> list[int]:
        """Return the units of a step that have no mark.

        Parameters
        ----------
        step : str
            One of `STEPS`.
        part : tuple of int
            k and n: of all units, those whose number leaves k when divided by n.
        """
        mine = range(part[0], self.units(step), part[1])
        if self.counts() is not None:
            return []
        done = {int(name.partition(".")[0]) for name in self.files.names(step)}
        return [number for number in mine if number not in done]

    def blocks_of(self, batch: int) -> range:
        """Return the blocks of a batch."""
        return range(batch * BATCH, min((batch + 1) * BATCH, self.job.cut.count))

    def mark(self, step: Step, number: int, content: bytes = b"") -> None:
        """Note that a unit is done, with what later steps need of it."""
        self.files.write(_name(step, number), content)

    def marked(self, step: Step, number: int) -> bool:
        """Whether a unit is done."""
        return self.files.read(_name(step, number)) is not None

    def content(self, step: Step, number: int) -> bytes:
        """Return what a unit left.

        Raises
        ------
        SegliteError
            If it is not done.
        """
        content = self.files.read(_name(step, number))
        if content is None:
            raise SegliteError(
                f"{self.where}: the step {step} of unit {number} is missing. Run seglite segment "
                "again; it does what is left."
            )
        return content

    def write_strip(self, number: int, other: int, labels: np.ndarray) -> None:
        """Store the labels that a block has in what it and a neighbour both segment."""
        self.files.write(_strip(number, other), pack_labels(labels))

    def strip(self, number: int, other: int) -> np.ndarray | None:
        """Return what `write_strip` stored, uint32 ``(d, h, w)``; None if there is nothing."""
        content = self.files.read(_strip(number, other))
        return None if content is None else unpack(content)["labels"]

    def write_ids(self, batch: int, ids: dict[str, np.ndarray]) -> None:
        """Store the final ids of a batch of blocks."""
        self.files.write(f"ids/{batch}.npz", pack(**ids))

    def ids(self, number: int) -> np.ndarray:
        """Return the final ids of the objects of a block, from 1; 0 is background."""
        batch, position = divmod(number, BATCH)
        content = self.files.read(f"ids/{batch}.npz")
        if content is None:
            raise SegliteError(f"{self.where}: the objects are not numbered yet.")
        held = unpack(content)
        begin, end = held["begins"][position : position + 2]
        return np.concatenate([[0], held["ids"][begin:end]]).astype(np.uint32)

    # ------------------------------------------------------------------ the end
    def counts(self) -> dict[str, int] | None:
        """Return the number of objects (0 for classes) once all is done, else None."""
        content = self.files.read(_DONE)
        return None if content is None else dict(json.loads(content))

    def numbers(self) -> dict[str, int]:
        """Return what numbering found; the same as `counts` in the end."""
        if "number" not in self.steps():
            return {"objects": 0}
        return dict(json.loads(self.content("number", 0)))

    def write_counts(self, counts: dict[str, int]) -> None:
        """Note that all is done, and remove what only the steps needed."""
        self.files.write(_DONE, json.dumps(counts).encode())
        for folder in (*STEPS, "strips", "ids"):
            self.files.remove(folder)


def _strip(number: int, other: int) -> str:
    return f"strips/{number // 1000:04d}/{number}-{other}.npz"


def _name(step: Step, number: int) -> str:
    return f"{step}/{number // 1000:04d}/{number}.npz"
