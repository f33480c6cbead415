"""Checkpoints: weights as safetensors, and a JSON card that says what they are.

A checkpoint is a folder with ``card.json`` and ``weights.safetensors``. Those that
come with the plugin lie inside the package, the user's own in the platform's data folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import src_models

from ..engine.normalise import Normalisation
from ..errors import CheckpointError
from .atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

BUILT_IN = Path(__file__).parent.parent / "checkpoints"
ENVIRONMENT_VARIABLE = "SEGLITE_DATA"
CARD, WEIGHTS, REPLAY = "card.json", "weights.safetensors", "replay.npz"
FORMAT = 1


@dataclass(frozen=True)
class CheckpointInfo:
    """The card of a checkpoint.

    Attributes
    ----------
    id : str
        Its name: letters, digits, dots, hyphens and underscores.
    network : str
        A name that `src_models.create` takes.
    in_channels, classes : int
        As the network was built.
    class_names : tuple of str
        From label 0 (background) upwards: two names for one class.
    normalisation : Normalisation
        Replayed on every image.
    description : str
        A sentence for the user.
    parent : str or None
        The checkpoint it was fine-tuned from.
    data_digest : str
        SHA-256 over the frames and labels it learnt from.
    settings, versions, scores : dict
        How it was trained, with what software, and how well it does.
    weights_sha256 : str
        Of the weights' file; filled in when it is saved.
    options : dict
        Further arguments of `src_models.create`, such as a preset.
    spacing : tuple of float or None
        Height and width in micrometres of the pixels it learnt from, if they are known.
    curves : dict
        ``"loss"`` and ``"dice"`` over the steps of its training, as ``[step, value]``.
    created : str
        When training ended, ISO 8601 in UTC.
    note : str
        What the user wants to remember about it.
    """

    id: str
    network: str
    in_channels: int = 1
    classes: int = 1
    class_names: tuple[str, ...] = ("background", "object")
    normalisation: Normalisation = field(default_factory=Normalisation)
    description: str = ""
    parent: str | None = None
    data_digest: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    weights_sha256: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    spacing: tuple[float, float] | None = None
    curves: dict[str, list[list[float]]] = field(default_factory=dict)
    created: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.id):
            raise CheckpointError(
                f"{self.id!r} cannot name a checkpoint. Use letters, digits, dots, hyphens and "
                "underscores, beginning with a letter or digit."
            )
        if self.network not in src_models.names():
            raise CheckpointError(
                f"Checkpoint {self.id} is for the network {self.network!r}, which is not "
                f"installed. There are: {', '.join(src_models.names())}."
            )
        expected = 2 if self.classes == 1 else self.classes
        if self.in_channels < 1 or self.classes < 1 or len(self.class_names) != expected:
            raise CheckpointError(
                f"Checkpoint {self.id} names {len(self.class_names)} classes; its network with "
                f"{self.classes} output channels needs {expected}, background included."
            )

    @property
    def context_slices(self) -> int:
        """How many slices its network reads at once."""
        return src_models.card(self.network).context_slices

    @property
    def volumetric(self) -> bool:
        """Whether its network sees blocks of a stack instead of slices."""
        return bool(self.options.get("dims") == 3)

    def build(self) -> nn.Module:
        """Return its network with fresh weights."""
        return src_models.create(self.network, self.in_channels, self.classes, **self.options)

    def as_dict(self) -> dict[str, Any]:
        """Return the card as plain JSON data."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CheckpointInfo:
        """Read what `as_dict` wrote; unknown fields of later versions are ignored.

        Raises
        ------
        CheckpointError
            If a field is missing or of the wrong kind.
        """
        try:
            if int(data["format"]) > FORMAT:
                raise CheckpointError(
                    f"Checkpoint {data.get('id')} was written by a newer version of SegLite. "
                    "Update SegLite to use it."
                )
            known = {k: v for k, v in data.items() if k in cls.__dataclass_fields__}
            known["class_names"] = tuple(known["class_names"])
            known["normalisation"] = Normalisation(**known["normalisation"])
            if known.get("spacing") is not None:
                height, width = map(float, known["spacing"])
                known["spacing"] = (height, width)
            return cls(**known)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"The card of this checkpoint cannot be read: {error}."
            ) from error


def default_folder() -> Path:
    """Where the user's own checkpoints are kept; ``SEGLITE_DATA`` overrides it."""
    import platformdirs

    base = os.environ.get(ENVIRONMENT_VARIABLE) or platformdirs.user_data_dir("seglite", False)
    return Path(base) / "checkpoints"


class CheckpointStore:
    """The checkpoints of this computer.

    Parameters
    ----------
    folder : Path, optional
        The user's own; `default_folder` if not given.
    built_in : Path
        Those that came with the package; read only.
    """

    def __init__(self, folder: Path | None = None, built_in: Path = BUILT_IN) -> None:
        self.folder = folder or default_folder()
        self.built_in = built_in

    def list(self) -> list[CheckpointInfo]:
        """Return the cards of all readable checkpoints, built-in ones first."""
        found = []
        for root in (self.built_in, self.folder):
            if not root.is_dir():
                continue
            for path in sorted(root.iterdir()):
                if (path / CARD).is_file():
                    try:
                        found.append(self._read_card(path))
                    except CheckpointError:
                        continue  # named again, with the reason, when somebody asks for it
        return found

    def is_built_in(self, name: str) -> bool:
        """Whether a checkpoint came with the package."""
        return (self.built_in / name / CARD).is_file()

    def path(self, name: str) -> Path:
        """Return the folder of a checkpoint, given its id or the path of a folder.

        Raises
        ------
        CheckpointError
            If there is none; the message lists those there are.
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
        """Return a name for a checkpoint fine-tuned from another that is not taken yet."""
        base = re.sub(r"-tuned-\d+$", "", Path(start).name)
        taken = {info.id for info in self.list()}
        number = 1
        while (name := f"{base}-tuned-{number}") in taken or (self.folder / name).exists():
            number += 1
        return name

    def load(self, name: str) -> tuple[CheckpointInfo, nn.Module]:
        """Build the network of a checkpoint and fill in its weights, in float32 on the CPU.

        Raises
        ------
        CheckpointError
            If it is missing, damaged, or its weights do not fit its network.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self.path(name)
        info = self._read_card(path)
        try:
            blob = (path / WEIGHTS).read_bytes()
            if hashlib.sha256(blob).hexdigest() != info.weights_sha256:
                raise CheckpointError(
                    f"The weights of checkpoint {info.id} ({path / WEIGHTS}) are not the ones its "
                    "card describes: the file is damaged or was exchanged. Copy it again."
                )
            weights = {k: v.float() if v.is_floating_point() else v for k, v in load(blob).items()}
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
            The state dict.
        half : bool
            Store floating-point numbers in float16.
        overwrite : bool
            Replace one of the same name.
        replay : bytes
            What `replay.pack` made of some frames it learnt from.

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

        Raises
        ------
        CheckpointError
            If it is missing or built in.
        """
        path = self._own(name)
        info = replace(self._read_card(path), note=note)
        with replacing(path / CARD) as scratch:
            scratch.write_text(_as_json(info), "utf-8")
        return info

    def rename(self, name: str, new: str) -> CheckpointInfo:
        """Give one of the user's own checkpoints another name; its children follow.

        Raises
        ------
        CheckpointError
            If it is missing or built in, or the name is taken or cannot name a checkpoint.
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
        """Write a checkpoint into a zip file that `add` reads on another computer."""
        path = self.path(name)
        with replacing(target) as scratch, ZipFile(scratch, "w", ZIP_DEFLATED) as archive:
            for file in sorted(path.iterdir()):
                archive.write(file, file.name)
        return target

    def add(self, source: Path) -> CheckpointInfo:
        """Read a checkpoint that `export` wrote.

        Raises
        ------
        CheckpointError
            If the file is no such thing, is damaged, or the name is taken.
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
            raise CheckpointError(f"{source} holds no checkpoint: {error}.") from error
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
            raise CheckpointError(f"Checkpoint {name} is not one of your own and stays as it is.")
        return path

    def _read_card(self, path: Path) -> CheckpointInfo:
        try:
            data = json.loads((path / CARD).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path / CARD} is no checkpoint card: {error}.") from error
        if not isinstance(data, dict):
            raise CheckpointError(f"{path / CARD} is no checkpoint card.")
        return CheckpointInfo.from_dict(data)


def _as_json(info: CheckpointInfo) -> str:
    return json.dumps(info.as_dict(), indent=2) + "\n"
