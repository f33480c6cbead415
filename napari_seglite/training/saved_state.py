"""The state of a training run on disk, from which an interrupted run continues."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..formats import replacing

if TYPE_CHECKING:
    from torch import Tensor

    from .request import FineTuneRequest


# Of the file. States of other versions are not continued.
FORMAT = 3


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

        Raises
        ------
        OSError
            If it cannot be written; the state before is still there then.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        packed = {k: v.contiguous().clone() for k, v in tensors.items()}
        card = {
            "format": FORMAT,
            "request": asdict(request),
            "numbers": numbers,
            "sum": _checksum(packed),
        }
        with replacing(self.path) as scratch:
            try:
                save_file(packed, scratch, metadata={"run": json.dumps(card)})
            except SafetensorError as error:
                raise OSError(str(error)) from error

    def load(self, request: FineTuneRequest) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the state of an interrupted run with the same settings.

        A missing or damaged file, and one of another version, only mean that training starts
        anew: None.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "pt") as file:
                card = json.loads(file.metadata()["run"])
                if not _continues(card, request):
                    return None
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
                return (tensors, card["numbers"]) if _checksum(tensors) == card["sum"] else None
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return None

    def held_out(self, request: FineTuneRequest) -> list[str]:
        """Return the names of the frames that an interrupted run holds out; empty without one."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "pt") as file:
                card = json.loads(file.metadata()["run"])
                names = card["numbers"]["held_out_names"] if _continues(card, request) else []
                return [str(name) for name in names]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return []

    def discard(self) -> None:
        """Remove the file, once the checkpoint is written; one that stays does no harm."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def _continues(card: dict[str, Any], request: FineTuneRequest) -> bool:
    """Whether a run with these settings continues from a file."""
    same = card["request"] == json.loads(json.dumps(asdict(request)))
    return same and card.get("format") == FORMAT


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    import torch

    total = 0
    for name in sorted(tensors):
        flat = tensors[name].contiguous().view(-1).view(torch.uint8)
        total = zlib.crc32(flat.numpy().data, zlib.crc32(name.encode(), total))
    return total
