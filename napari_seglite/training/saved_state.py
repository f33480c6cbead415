"""The state of a training run on disk, from which an interrupted run continues."""

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
    """The file with the state of a run until its checkpoint is written.

    Parameters
    ----------
    folder : Path
        Of all saved runs.
    name : str
        Of the future checkpoint.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.safetensors"

    def save(
        self, request: FineTuneRequest, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
    ) -> None:
        """Write the state of a run in place of the one before.

        Parameters
        ----------
        request : FineTuneRequest
            Its settings; only a run with the same ones continues from here.
        tensors : mapping
            Weights and the optimiser's state.
        numbers : mapping
            Everything else, as JSON data.
        """
        from safetensors.torch import save_file

        card = json.dumps({"request": asdict(request), "numbers": numbers})
        packed = {k: v.contiguous().clone() for k, v in tensors.items()}
        with replacing(self.path) as scratch:
            save_file(packed, scratch, metadata={"run": card})

    def load(self, request: FineTuneRequest) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the state of an interrupted run with the same settings; None if there is none."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "pt") as file:
                card = json.loads(file.metadata()["run"])
                if card["request"] != json.loads(json.dumps(asdict(request))):
                    return None
                names = file.keys()
                return {name: file.get_tensor(name) for name in names}, card["numbers"]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return None  # a missing or damaged file only means that training starts anew

    def discard(self) -> None:
        """Remove the file, once the run is over."""
        self.path.unlink(missing_ok=True)
