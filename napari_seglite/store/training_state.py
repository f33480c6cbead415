"""A training run on disk, so that a crash or a closed laptop costs seconds and not the run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .atomic import replacing

if TYPE_CHECKING:
    from torch import Tensor

    from ..engine.training import FineTuneRequest

WEIGHTS, CARD = "state.safetensors", "state.json"


class TrainingState:
    """Where a run that makes a checkpoint of some name is saved meanwhile.

    Parameters
    ----------
    folder : Path
        Of all such runs.
    name : str
        Of the checkpoint to be.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / name

    def save(
        self, request: FineTuneRequest, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
    ) -> None:
        """Write where a run is, in place of what was written before."""
        from safetensors.torch import save_file

        with replacing(self.folder) as scratch:
            scratch.mkdir()
            save_file({k: v.contiguous().clone() for k, v in tensors.items()}, scratch / WEIGHTS)
            card = {"request": asdict(request), "numbers": numbers}
            (scratch / CARD).write_text(json.dumps(card), "utf-8")

    def load(self, request: FineTuneRequest) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what an interrupted run of the same settings left; None if there is nothing."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            card = json.loads((self.folder / CARD).read_text("utf-8"))
            if card["request"] != json.loads(json.dumps(asdict(request))):
                return None
            return load_file(self.folder / WEIGHTS), card["numbers"]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return None  # it is a help, and training from the start is always possible

    def discard(self) -> None:
        """Remove it: the run is over."""
        shutil.rmtree(self.folder, ignore_errors=True)
