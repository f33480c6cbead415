"""Do the steps of a job with one of the drivers, and finish the labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..errors import SegliteError
from ..formats import open_labels
from ..images import ImageAxes
from .ledger import STEPS, Ledger, Step
from .work import work

# Does units of a step, and yields the number of each that is done.
Driver = Callable[[str, Step, Sequence[int]], Iterable[int]]


@dataclass(frozen=True)
class BlockProgress:
    """How far a step is.

    Attributes
    ----------
    step : str
        Its name.
    done, total : int
        Units of it: blocks, or batches of blocks.
    """

    step: Step
    done: int
    total: int

    @property
    def text(self) -> str:
        """The progress in words."""
        texts = {
            "segment": f"Block {self.done} of {self.total}",
            "link": f"Linking blocks, {self.done} of {self.total} batches",
            "number": "Numbering objects",
            "finish": f"Finishing blocks, {self.done} of {self.total}",
        }
        return texts[self.step]


def here(place: str, step: Step, numbers: Sequence[int]) -> Iterator[int]:
    """Do units one after the other in this process; see `Driver`."""
    for number in numbers:
        yield work(place, step, number)


def run_step(
    ledger: Ledger, step: Step, driver: Driver = here, part: tuple[int, int] = (0, 1)
) -> Iterator[BlockProgress]:
    """Do what is left of a step, or of a part of it.

    Parameters
    ----------
    ledger : Ledger
        Of the labels.
    step : str
        One of `STEPS`; those before it must be done.
    driver : callable
        What does the units; this process if not given.
    part : tuple of int
        See `Ledger.left`.

    Yields
    ------
    BlockProgress
        After every unit.
    """
    left = ledger.left(step, part)
    total = len(range(part[0], ledger.units(step), part[1]))
    before = total - len(left)
    if left:
        for done, _ in enumerate(driver(ledger.place, step, left), start=before + 1):
            yield BlockProgress(step, done, total)


def check_ready(ledger: Ledger, step: Step | None) -> None:
    """See whether the steps before one are done; before the end, with None.

    Raises
    ------
    SegliteError
        If not; the message says how many units are left.
    """
    steps = ledger.steps()
    before = steps if step is None else STEPS[: STEPS.index(step)]
    for earlier in before:
        left = len(ledger.left(earlier)) if earlier in steps else 0
        if left:
            raise SegliteError(
                f"{ledger.place}: {left} of {ledger.units(earlier)} units of the step {earlier} "
                "are not done. Run that step, or its parts, again; it does what is left."
            )


def run(ledger: Ledger, driver: Driver = here) -> Iterator[BlockProgress]:
    """Do everything that is left of a job.

    Parameters
    ----------
    ledger : Ledger
        Of the labels.
    driver : callable
        What does the units; this process if not given.

    Yields
    ------
    BlockProgress
        After every unit.
    """
    if ledger.counts() is not None:
        return
    for step in ledger.steps():
        yield from run_step(ledger, step, driver)
    _complete(ledger)


def _complete(ledger: Ledger) -> None:
    """Write what remains once all steps are done: the coarsest levels, and the last marks."""
    job = ledger.job
    labels = open_labels(ledger.place, ImageAxes(job.request.axes).labels, job.cut.edges[1])
    labels.write_coarsest()
    labels.mark_finished()
    ledger.write_counts(ledger.numbers())
