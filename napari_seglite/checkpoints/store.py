"""The store of checkpoints on disk.

A checkpoint is a folder with ``card.json``, ``weights.safetensors`` and perhaps a replay buffer,
``replay.npz``. Built-in checkpoints lie inside the package, the user's own in the platform's data
folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

from ..errors import CheckpointError
from ..formats import replacing
from .card import CheckpointInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

BUILT_IN = Path(__file__).parent / "builtin"
ENVIRONMENT_VARIABLE = "SEGLITE_DATA"
CARD, WEIGHTS, REPLAY = "card.json", "weights.safetensors", "replay.npz"


def default_folder() -> Path:
    """Return the folder of the user's own checkpoints, inside ``SEGLITE_DATA`` if that is set."""
    import platformdirs

    base = os.environ.get(ENVIRONMENT_VARIABLE) or platformdirs.user_data_dir("seglite", False)
    return Path(base) / "checkpoints"


class CheckpointStore:
    """The checkpoints of this computer.

    Parameters
    ----------
    folder : Path, optional
        Of the user's own checkpoints; `default_folder` if not given.
    built_in : Path
        Of the checkpoints that come with the package; read only.

    Examples
    --------
    >>> store = CheckpointStore()
    >>> store.info("nuclei-s-net").network
    's-net'
    >>> info, network = store.load("nuclei-s-net")  # doctest: +SKIP
    """

    def __init__(self, folder: Path | None = None, built_in: Path = BUILT_IN) -> None:
        self.folder = folder or default_folder()
        self.built_in = built_in

    def list(self) -> list[CheckpointInfo]:
        """Return the cards of all readable checkpoints, built-in ones first."""
        cards = []
        for root in (self.built_in, self.folder):
            if not root.is_dir():
                continue
            for path in sorted(root.iterdir()):
                if (path / CARD).is_file():
                    try:
                        cards.append(self._read_card(path))
                    except CheckpointError:
                        continue  # `info` gives the reason for this name
        return cards

    def is_built_in(self, name: str) -> bool:
        """Whether a checkpoint comes with the package."""
        return (self.built_in / name / CARD).is_file()

    def path(self, name: str) -> Path:
        """Return the folder of a checkpoint, given its id or the path of a folder.

        Raises
        ------
        CheckpointError
            If there is none; the message lists the existing ones.
        """
        for candidate in (self.built_in / name, self.folder / name, Path(name)):
            if name and (candidate / CARD).is_file():
                return candidate
        known = ", ".join(info.id for info in self.list()) or "none"
        raise CheckpointError(f"No checkpoint {name!r}. There are: {known}.")

    def info(self, name: str) -> CheckpointInfo:
        """Return the card of a checkpoint.

        Raises
        ------
        CheckpointError
            If it is missing or its card cannot be read.
        """
        return self._read_card(self.path(name))

    def free_name(self, start: str) -> str:
        """Return an unused name for a checkpoint that is fine-tuned from `start`."""
        base = re.sub(r"-tuned-\d+$", "", Path(start).name)
        taken = {info.id for info in self.list()}
        number = 1
        while (name := f"{base}-tuned-{number}") in taken or (self.folder / name).exists():
            number += 1
        return name

    def load(self, name: str) -> tuple[CheckpointInfo, nn.Module]:
        """Build the network of a checkpoint and load its weights.

        Returns
        -------
        info : CheckpointInfo
            Its card.
        network : Module
            In float32 on the CPU, in training mode.

        Raises
        ------
        CheckpointError
            If it is missing, damaged, or its weights do not fit its network.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load
        from torch.random import fork_rng

        path = self.path(name)
        info = self._read_card(path)
        try:
            blob = (path / WEIGHTS).read_bytes()
            if hashlib.sha256(blob).hexdigest() != info.weights_sha256:
                raise CheckpointError(
                    f"The weights of checkpoint {info.id} ({path / WEIGHTS}) are not the ones its "
                    "card describes: the file is damaged or was replaced. Copy it again."
                )
            weights = {k: v.float() if v.is_floating_point() else v for k, v in load(blob).items()}
            with fork_rng(devices=[]):  # fresh weights must not advance the caller's generator
                network = info.build()
            network.load_state_dict(weights)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"The weights of checkpoint {info.id} cannot be read ({error}). Copy it again."
            ) from error
        except RuntimeError as error:
            raise CheckpointError(
                f"The weights of checkpoint {info.id} do not fit the network {info.network} with "
                f"{info.in_channels} channels and {info.classes} classes."
            ) from error
        return info, network

    def save(
        self,
        info: CheckpointInfo,
        weights: Mapping[str, Tensor],
        *,
        half: bool = False,
        overwrite: bool = False,
        replay: bytes = b"",
    ) -> CheckpointInfo:
        """Write a checkpoint to the user's folder.

        Parameters
        ----------
        info : CheckpointInfo
            Its card.
        weights : mapping
            The state dict of its network.
        half : bool
            Whether to store floating-point numbers in float16.
        overwrite : bool
            Whether to replace a checkpoint of the user's of the same name.
        replay : bytes
            Its replay buffer, as `replay.pack` returns it; empty for none.

        Returns
        -------
        CheckpointInfo
            The card as it was written, with the hash of the weights.

        Raises
        ------
        CheckpointError
            If the name is taken.
        """
        from safetensors.torch import save

        if self.is_built_in(info.id) or (not overwrite and (self.folder / info.id).exists()):
            raise CheckpointError(f"There is a checkpoint {info.id} already. Choose another name.")

        def packed(tensor: Tensor) -> Tensor:
            tensor = tensor.detach().cpu()
            tensor = tensor.half() if half and tensor.is_floating_point() else tensor
            return tensor.contiguous()

        blob = save({name: packed(tensor) for name, tensor in weights.items()})
        info = replace(info, weights_sha256=hashlib.sha256(blob).hexdigest())
        with replacing(self.folder / info.id) as scratch:
            scratch.mkdir()
            (scratch / WEIGHTS).write_bytes(blob)
            (scratch / CARD).write_text(_as_json(info), "utf-8")
            if replay:
                (scratch / REPLAY).write_bytes(replay)
        return info

    def annotate(self, name: str, note: str) -> CheckpointInfo:
        """Write a note on the card of one of the user's own checkpoints.

        Parameters
        ----------
        name : str
            Id of the checkpoint.
        note : str
            Replaces the note that is there.

        Returns
        -------
        CheckpointInfo
            The new card.

        Raises
        ------
        CheckpointError
            If the checkpoint is missing or built in.
        """
        path = self._own(name)
        info = replace(self._read_card(path), note=note)
        with replacing(path / CARD) as scratch:
            scratch.write_text(_as_json(info), "utf-8")
        return info

    def rename(self, name: str, new: str) -> CheckpointInfo:
        """Rename one of the user's own checkpoints, also as the parent of others.

        Parameters
        ----------
        name, new : str
            Its old and its new id.

        Returns
        -------
        CheckpointInfo
            The new card.

        Raises
        ------
        CheckpointError
            If the checkpoint is missing or built in, or the new id is taken or not valid.
        """
        path = self._own(name)
        info = replace(self._read_card(path), id=new)
        if new in {other.id for other in self.list()} or (self.folder / new).exists():
            raise CheckpointError(f"There is a checkpoint {new} already. Choose another name.")
        os.replace(path, self.folder / new)
        with replacing(self.folder / new / CARD) as scratch:
            scratch.write_text(_as_json(info), "utf-8")
        for child in self.list():
            if child.parent == name and not self.is_built_in(child.id):
                with replacing(self.folder / child.id / CARD) as scratch:
                    scratch.write_text(_as_json(replace(child, parent=new)), "utf-8")
        return info

    def export(self, name: str, target: Path) -> Path:
        """Write a checkpoint to a zip file, which `add` reads on another computer.

        Parameters
        ----------
        name : str
            Id of the checkpoint.
        target : Path
            Of the zip file; an existing one is replaced.

        Returns
        -------
        Path
            `target`.

        Raises
        ------
        CheckpointError
            If the checkpoint is missing.
        """
        path = self.path(name)
        with replacing(target) as scratch, ZipFile(scratch, "w", ZIP_DEFLATED) as archive:
            for file in sorted(path.iterdir()):
                archive.write(file, file.name)
        return target

    def add(self, source: Path) -> CheckpointInfo:
        """Add a checkpoint from a zip file that `export` wrote.

        Raises
        ------
        CheckpointError
            If the file is not such a zip file or is damaged, or the checkpoint's name is taken.
        """
        try:
            with TemporaryDirectory() as scratch, ZipFile(source) as archive:
                folder = Path(scratch) / "checkpoint"
                for name in (CARD, WEIGHTS, REPLAY):
                    if name in archive.namelist():
                        archive.extract(name, folder)
                info = self._read_card(folder)
                if info.id in {other.id for other in self.list()}:
                    raise CheckpointError(
                        f"There is a checkpoint {info.id} already. Rename or delete it first."
                    )
                self.load(str(folder))
                with replacing(self.folder / info.id) as target:
                    shutil.copytree(folder, target)
        except (BadZipFile, OSError) as error:
            raise CheckpointError(f"{source} does not contain a checkpoint: {error}.") from error
        return info

    def delete(self, name: str) -> None:
        """Remove one of the user's own checkpoints.

        Raises
        ------
        CheckpointError
            If it is missing or built in.
        """
        shutil.rmtree(self._own(name))

    def _own(self, name: str) -> Path:
        path = self.path(name)
        if path.parent != self.folder:
            raise CheckpointError(f"Checkpoint {name} is not your own and cannot be changed.")
        return path

    def _read_card(self, path: Path) -> CheckpointInfo:
        try:
            data = json.loads((path / CARD).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path / CARD} is not a checkpoint card: {error}.") from error
        if not isinstance(data, dict):
            raise CheckpointError(f"{path / CARD} is not a checkpoint card.")
        return CheckpointInfo.from_dict(data)


def _as_json(info: CheckpointInfo) -> str:
    return json.dumps(info.as_dict(), indent=2) + "\n"
