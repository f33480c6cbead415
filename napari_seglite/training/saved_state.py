"""A training run on disk, so that a crash or a closed laptop costs seconds and not the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..formats import replacing

if TYPE_CHECKING:
    from torch import Tensor

    from .request import FineTuneRequest


class SavedState:
    """Where a run that makes a checkpoint of some name is saved meanwhile.

    Parameters
    ----------
    folder : Path
        Of all such runs.
    name : str
        Of the checkpoint to be.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.safetensors"

    def save(
        self, request: FineTuneRequest, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
    ) -> None:
        """Write where a run is, in place of what was written before."""
        from safetensors.torch import save_file

        card = json.dumps({"request": asdict(request), "numbers": numbers})
        packed = {k: v.contiguous().clone() for k, v in tensors.items()}
        with replacing(self.path) as scratch:
            save_file(packed, scratch, metadata={"run": card})

    def load(self, request: FineTuneRequest) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what an interrupted run of the same settings left; None if there is nothing."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "pt") as file:
                card = json.loads(file.metadata()["run"])
                if card["request"] != json.loads(json.dumps(asdict(request))):
                    return None
                names = file.keys()
                return {name: file.get_tensor(name) for name in names}, card["numbers"]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return None  # it is a help, and training from the start is always possible

    def discard(self) -> None:
        """Remove it: the run is over."""
        self.path.unlink(missing_ok=True)
