"""What a training run saves of itself, and how an interrupted one goes on from it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Protocol

from ..images import TrainingImage
from .progress import Progress
from .trainer import laid_out

if TYPE_CHECKING:
    import torch

    from .held_out import HeldOut
    from .pace import Pace
    from .patches import PatchSampler
    from .progress import Curves
    from .request import FineTuneRequest
    from .saved_state import SavedState
    from .trainer import Trainer


class Run(Protocol):
    """What is saved of a `TrainingRun`."""

    trainer: Trainer
    request: FineTuneRequest
    used: FineTuneRequest
    best_weights: dict[str, torch.Tensor]
    progress: Progress
    curves: Curves
    held_out: HeldOut
    sampler: PatchSampler
    pace: Pace
    saved: SavedState | None
    train: list[TrainingImage]
    train_digest: str
    batch: int
    retries: int
    last_scored: int

    @property
    def step(self) -> int:
        """Steps made, those of earlier runs included."""
        ...

    def learn_from(self, train: Sequence[TrainingImage]) -> None:
        """Draw patches from these frames from now on."""

    def train_fully(self) -> None:
        """Train as suits a start that does not know the task."""


def pack(run: Run) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the state of a run: tensors, and everything else as JSON data."""
    tensors, numbers = run.trainer.state()
    tensors |= {f"best.{name}": value for name, value in run.best_weights.items()}
    state = {
        "trainer": numbers,
        "progress": asdict(run.progress),
        "curves": asdict(run.curves),
        **run.held_out.state(),
        "batch": run.batch,
        "retries": run.retries,
        "reads_pixels": run.trainer.reads_pixels,
        "full": run.used is not run.request,
        "sampler": run.sampler.state(),
        "train": run.train_digest,
        "held_out": run.held_out.digest,
        "held_out_names": run.held_out.names,
    }
    return tensors, state


def go_on(run: Run) -> tuple[bool, str]:
    """Continue from a saved state if there is one; return whether, and a sentence about it."""
    found = run.saved.load(run.request) if run.saved else None
    if found is None:
        return False, ""
    tensors, numbers = found
    if numbers.get("held_out") != run.held_out.digest:
        text = "The held-out frames changed since training was interrupted, so it starts anew."
        return False, text
    if kind := numbers.get("reads_pixels"):
        run.trainer.read_pixels(kind)
    before = run.trainer.state(), replace(run.progress), deepcopy(run.curves)
    try:
        _restore(run, tensors, numbers)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
        state, run.progress, run.curves = before
        run.trainer.restore(*state)
        run.used, run.batch, run.retries = run.request, run.request.schedule.batch, 0
        run.learn_from(run.train)
        return False, "The saved state of this training is damaged, so it starts anew."
    run.pace.add(run.progress.seconds)
    return True, f"Going on from step {run.step}, where training was interrupted."


def _restore(run: Run, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
    run.progress = Progress(**numbers["progress"])
    if numbers["full"]:
        run.train_fully()
    else:
        run.learn_from(run.train)
    # Frames that were corrected since then are learnt from now on, by a sampler of their own.
    if numbers["train"] == run.train_digest:
        run.sampler.restore(numbers["sampler"])
    run.trainer.restore(tensors, numbers["trainer"])
    shapes = run.trainer.network.state_dict()
    run.best_weights = {k: laid_out(tensors[f"best.{k}"], v) for k, v in shapes.items()}
    run.curves.loss = [(int(step), float(value)) for step, value in numbers["curves"]["loss"]]
    run.curves.dice = [(int(step), float(value)) for step, value in numbers["curves"]["dice"]]
    run.curves.f1 = [(int(step), float(value)) for step, value in numbers["curves"]["f1"]]
    run.batch, run.retries = int(numbers["batch"]), int(numbers["retries"])
    run.held_out.restore(numbers)
    run.last_scored = run.curves.dice[-1][0] if run.curves.dice else 0
