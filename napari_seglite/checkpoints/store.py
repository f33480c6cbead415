"""The store of checkpoints on disk: the door to `folder`, `weights`, `archive` and `repair`.

A checkpoint is a folder with ``card.json``, ``weights.safetensors`` and perhaps a replay buffer,
``replay.npz``. Built-in checkpoints lie inside the package, the user's own in the platform's data
folder.
"""

from __future__ import annotations

import builtins
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CheckpointError
from ..formats import name_problem, replacing, safe_name, taken
from . import folder as folders
from .archive import Packed, read_archive, write_archive
from .card import CheckpointInfo
from .folder import CARD, REPLAY, WEIGHTS, Scan
from .repair import repair
from .rounding import Bits, rounded
from .weights import load_network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

BUILT_IN = Path(__file__).parent / "builtin"
ENVIRONMENT_VARIABLE = "SEGLITE_DATA"


def default_folder() -> Path:
    """Return the folder of the user's own checkpoints, inside ``SEGLITE_DATA`` if that is set."""
    if base := os.environ.get(ENVIRONMENT_VARIABLE):
        return Path(base) / "checkpoints"
    import platformdirs

    folder = Path()
    with suppress(RuntimeError):  # an account without a home, as in containers
        folder = platformdirs.user_data_path("seglite", False)
    return (folder if folder.is_absolute() else Path(os.sep, "nonexistent")) / "checkpoints"


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
        self._tidied = False

    def scan(self) -> Scan:
        """Return the usable checkpoints, built-in ones first, and the damaged ones, in one pass."""
        return folders.scan(self.built_in, self.folder)

    def list(self) -> list[CheckpointInfo]:
        """Return the cards of all usable checkpoints, built-in ones first."""
        return self.scan().infos

    def damaged(self) -> dict[str, str]:
        """Return the reasons why checkpoints cannot be used, by the names of their folders."""
        return self.scan().damaged

    def is_built_in(self, name: str) -> bool:
        """Whether a checkpoint comes with the package."""
        return _is_entry(name) and folders.is_file(self.built_in / name / CARD)

    def path(self, name: str) -> Path:
        """Return the folder of a checkpoint, given its id or the path of a folder.

        Raises
        ------
        CheckpointError
            If there is none; the message lists the existing ones.
        """
        candidates = [Path(name)]
        if _is_entry(name):
            candidates = [self.built_in / name, self.folder / name, *candidates]
        for candidate in candidates:
            if name and folders.is_file(candidate / CARD):
                return candidate
        known = ", ".join(info.id for info in self.list()) or "none"
        raise CheckpointError(f"No checkpoint {name[:200]!r}. There are: {known}.")

    def info(self, name: str) -> CheckpointInfo:
        """Return the card of a checkpoint.

        Raises
        ------
        CheckpointError
            If it is missing or its card cannot be read.
        """
        path = self.path(name)
        if path.parent in (self.built_in, self.folder):
            return folders.read_info(path)
        return folders.read_card(path)[0]

    def free_name(self, start: str) -> str:
        """Return an unused name for a checkpoint that is fine-tuned from `start`."""
        base = re.sub(r"-tuned-\d+$", "", Path(start).name)
        if name_problem(f"{base}-tuned-1000"):
            base = safe_name(base, "checkpoint")
        known = self._names()
        number = 1
        while taken(name := f"{base}-tuned-{number}", known):
            number += 1
        return name

    def is_taken(self, name: str) -> bool:
        """Whether a checkpoint, or anything else in its folders, has a name, in any capitals."""
        return bool(taken(name, self._names()))

    def check_name(self, name: str) -> None:
        """Check that a new checkpoint can have a name.

        Raises
        ------
        CheckpointError
            If a checkpoint has it, be it with other capitals, or not every platform can write it.
        """
        if problem := name_problem(name):
            raise CheckpointError(f"{name[:120]!r} cannot name a checkpoint: {problem}.")
        if other := taken(name, self._names()):
            raise _taken(other, name)

    def check_writable(self, name: str) -> None:
        """Check that a checkpoint can be written, before long work whose result it is to hold.

        Raises
        ------
        CheckpointError
            If the folder takes no files; the message says how to choose another one.
        """
        with self._writing(name):
            folders.try_writing(self.folder)

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
        info = self.info(name)
        return info, load_network(info, self.path(name))

    def save(
        self,
        info: CheckpointInfo,
        weights: Mapping[str, Tensor],
        *,
        bits: Bits = 32,
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
        bits : int
            32, 16 or 8, of each weight in the file, see `rounding.rounded`.
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
            If the name is taken or not valid, or the checkpoint cannot be written.
        """
        from safetensors.torch import save

        if not (overwrite and (self.folder / info.id).is_dir()) or self.is_built_in(info.id):
            self.check_name(info.id)

        blob = save(rounded(weights, bits))
        parent = None if info.parent == info.id else info.parent
        info = replace(info, weights_sha256=hashlib.sha256(blob).hexdigest(), parent=parent)
        with self._writing(info.id):
            self._forget(info.id)
            with replacing(self.folder / info.id, new=not overwrite) as scratch:
                scratch.mkdir()
                (scratch / WEIGHTS).write_bytes(blob)
                (scratch / CARD).write_text(folders.as_json(info.as_dict()), "utf-8")
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
        info, data = folders.read_card(path, note=note)
        with self._writing(name):
            folders.write_card(path, data)
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
        if problem := name_problem(new):
            raise CheckpointError(f"{new[:120]!r} cannot name a checkpoint: {problem}.")
        if other := taken(new, [n for n in self._names() if n != name or n == new]):
            raise _taken(other, new)
        parent = folders.read_card(path)[0].parent
        with self._writing(new):
            self._forget(new)
            # If the program is killed in between, both are there, and each is whole.
            info = folders.copy(
                path, self.folder / new, id=new, parent=None if parent in (name, new) else parent
            )
            folders.change_parents(self.folder, lambda p: new if p == name else p)
            folders.remove(path)
        return info

    def export(self, name: str, target: Path) -> Path:
        """Write a checkpoint to a zip file, which `add` reads on another computer.

        Paths of this computer are left out of its card: of each, the file's name stays.

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
        self.info(name)
        path = self.path(name)
        write_archive(path, folders.read_card(path)[1], target)
        return target

    def add(self, source: Path) -> CheckpointInfo:
        """Add a checkpoint from a zip file that `export` wrote.

        Raises
        ------
        CheckpointError
            If the file is not such a zip file or is damaged, or the checkpoint's name is taken.
        """
        return self.put(read_archive(source))

    def put(self, packed: Packed) -> CheckpointInfo:
        """Add a checkpoint that `read_archive` has read.

        Raises
        ------
        CheckpointError
            If the checkpoint's name is taken, or it cannot be written.
        """
        name = packed.info.id
        self.check_name(name)
        with self._writing(name):
            self._forget(name)
            with replacing(self.folder / name, new=True) as scratch:
                packed.write(scratch)
        return packed.info

    def delete(self, name: str) -> None:
        """Remove one of the user's own checkpoints, also a damaged one; of a link, the link alone.

        Raises
        ------
        CheckpointError
            If it is missing or built in, or cannot be removed.
        """
        with self._writing(name):
            path = self.folder / name
            if not _is_entry(name) or not (path.is_dir() or path.is_symlink()):
                path = self._own(name)
            folders.remove(path)

    def repair(self) -> builtins.list[str]:
        """Repair the user's own checkpoints, without deleting anything.

        What killed programs left is finished. Parents that form a circle are forgotten. A card with
        another name than its folder gets the folder's. Folders whose card cannot be read are moved
        to the folder ``damaged`` beside that of the checkpoints.

        Returns
        -------
        list of str
            A sentence for each thing that was done.

        Raises
        ------
        CheckpointError
            If a file cannot be read or written.
        """
        with self._writing("in this folder"):
            return repair(self.built_in, self.folder)

    # ------------------------------------------------------------------ inside
    def _own(self, name: str) -> Path:
        path = self.path(name)
        if path != self.folder / name or not _is_entry(name):
            raise CheckpointError(f"Checkpoint {name} is not your own and cannot be changed.")
        if path.is_symlink():
            raise CheckpointError(
                f"Checkpoint {name} is a link to {path.resolve()} and cannot be changed. Replace "
                f"{path} by a copy."
            )
        return path

    def _names(self) -> builtins.list[str]:
        """Return all names that are taken, those of damaged checkpoints included."""
        names: builtins.list[str] = []
        for root in (self.built_in, self.folder):
            with suppress(OSError):  # missing, or not to be read; writing there will tell
                names += [path.name for path in root.iterdir()]
        return names

    def _forget(self, name: str) -> None:
        """Clear references to a checkpoint that is gone, before another one takes its name."""
        folders.change_parents(self.folder, lambda parent: None if parent == name else parent)

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """Tidy up before the first writing, and say what went wrong with the folder."""
        try:
            if not self._tidied:
                folders.tidy(self.folder)
                self._tidied = True
            yield
        except OSError as error:
            if isinstance(error, FileExistsError) and os.path.lexists(self.folder / name):
                raise _taken(name, name) from error
            raise CheckpointError(
                f"Checkpoint {name} cannot be written in {self.folder}: "
                f"{error.strerror or error}. Check the free space and the permissions there, "
                f"or let the environment variable {ENVIRONMENT_VARIABLE} name another folder."
            ) from error


def _taken(other: str, name: str) -> CheckpointError:
    why = "" if other == name else f" {name} differs in capitals only, which is not enough."
    return CheckpointError(f"There is a checkpoint {other} already.{why} Choose another name.")


def _is_entry(name: str) -> bool:
    """Whether a name can be that of a visible entry of a folder, and not a path."""
    return name != "" and not name.startswith(".") and Path(name).name == name
