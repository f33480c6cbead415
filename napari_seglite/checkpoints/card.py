"""The card of a checkpoint: all data about it except its weights."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import src_models
from src_models import graph_options, object_heads

from ..errors import CheckpointError
from ..formats import parse_json
from ..images import Normalisation
from .text import printable

if TYPE_CHECKING:
    from torch import nn

FORMAT = 2
# The version that is written where nothing newer is on the card.
_EARLIER = 1
# Input and output channels that a network can have at most.
MOST_CHANNELS = 1024


class NotUsableHereError(CheckpointError):
    """A card is in order, but needs a newer version or a network that is not installed."""


def is_id(name: str) -> bool:
    """Whether a name can be a checkpoint's id; `formats.name_problem` is stricter, for new ones."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) is not None


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
        Input and output channels of the network.
    class_names : tuple of str
        From label 0 (background) upwards; a network of one class has two names.
    normalisation : Normalisation
        Applied to every image.
    description : str
        A sentence for the user.
    parent : str or None
        Id of the checkpoint it was fine-tuned from.
    data_digest : str
        SHA-256 over the frames and labels of its training data.
    settings : dict
        Settings of its training.
    versions : dict
        Versions of the software it was trained with.
    scores : dict
        Scores on held-out data, such as Dice.
    weights_sha256 : str
        SHA-256 of the weights' file; filled in when the checkpoint is saved.
    options : dict
        Further arguments of `src_models.create`, such as a preset.
    spacing : tuple of float or None
        Height and width in micrometres of the pixels of its training data, if known.
    objects : bool
        Whether it finds separate objects, such as nuclei, so that labels number them by default.
    smallest_object : int
        Pixels of the smallest object that it learnt, at the pixel size of its training data.
    head : str
        Object head of the network, one of `src_models.object_heads.NAMES`; an empty string for
        none.
    split_depth : float
        How much shallower than both of its sides the interior between two objects must be, 0 to 1,
        see `object_heads.interior`.
    least_probability : float
        Least mean probability of an object's pixels, 0 to 1; 0 keeps all objects.
    any_channels : bool
        Whether it reads the mean of an image's channels as grey where their number is another one
        than its own, as suits a network that learnt from grey images and from colours.
    object_diameter : float
        Pixels of a typical object that it learnt, at the pixel size of its training data; the
        median over objects. 0 if unknown.
    curves : dict
        ``"loss"`` and ``"dice"`` over the steps of its training, as ``[step, value]``.
    created : str
        End of training, ISO 8601 in UTC.
    note : str
        The user's note.
    origin : dict of str
        Of weights that others published: citation, licence, name and SHA-256 of the file. Kept by
        checkpoints that are fine-tuned from them.
    start_only : bool
        Whether only a part of its weights is trained, so that it can be fine-tuned but does not
        segment.

    Raises
    ------
    CheckpointError
        If the id is not valid, the network is not installed, or the numbers of classes and of
        their names do not fit.

    Examples
    --------
    >>> info = CheckpointInfo("cells", "unet-sharp", options={"preset": "tiny"})
    >>> info.class_names
    ('background', 'object')
    >>> network = info.build()  # doctest: +SKIP
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
    objects: bool = False
    smallest_object: int = 0
    head: str = ""
    split_depth: float = 0.08
    least_probability: float = 0.0
    any_channels: bool = False
    object_diameter: float = 0.0
    curves: dict[str, list[list[float]]] = field(default_factory=dict)
    created: str = ""
    note: str = ""
    origin: dict[str, str] = field(default_factory=dict)
    start_only: bool = False

    def __post_init__(self) -> None:
        if not is_id(self.id):
            raise CheckpointError(
                f"{self.id[:120]!r} cannot name a checkpoint. Use letters, digits, dots, hyphens "
                "and underscores, beginning with a letter or digit."
            )
        if not src_models.is_known(self.network):
            raise NotUsableHereError(
                f"Checkpoint {self.id} is for the network {self.network[:100]!r}, which is not "
                f"installed. There are: {', '.join(src_models.names())}."
            )
        if problem := self._problem():
            raise CheckpointError(f"Checkpoint {self.id} cannot be used: {problem}.")
        expected = 2 if self.classes == 1 else self.classes
        if len(self.class_names) != expected:
            raise CheckpointError(
                f"Checkpoint {self.id} names {len(self.class_names)} classes; its network with "
                f"{self.classes} output channels needs {expected}, background included."
            )

    def _problem(self) -> str:
        """Return what is wrong with a number or an option; an empty string if nothing is."""
        for what, count in (("in_channels", self.in_channels), ("classes", self.classes)):
            if not 1 <= count <= MOST_CHANNELS:
                return f"{what} is {count:.6g}, and must be from 1 to {MOST_CHANNELS}"
        low, high = self.normalisation.clip_low, self.normalisation.clip_high
        if not -math.inf < low < high < math.inf:
            return f"its normalisation clips to a range from {low} to {high}"
        if (known := len(self.normalisation.mean)) not in (0, self.in_channels):
            return f"its normalisation is for {known} channels, not {self.in_channels}"
        if self.spacing is not None and not all(0 < size < math.inf for size in self.spacing):
            return f"its pixels have the size {self.spacing}"
        if self.smallest_object < 0:
            return f"its smallest object has {self.smallest_object} pixels"
        if self.head and self.head not in object_heads.NAMES:
            return f"there is no object head {self.head!r:.100}"
        if not 0 <= self.split_depth <= 1:
            return f"its split depth is {self.split_depth}, and must be from 0 to 1"
        if not 0 <= self.least_probability <= 1:
            return f"its least probability is {self.least_probability}, and must be from 0 to 1"
        if not 0 <= self.object_diameter < math.inf:
            return f"its objects have a diameter of {self.object_diameter} pixels"
        if any(len(point) != 2 for curve in self.curves.values() for point in curve):
            return "a point of its training curves is not a pair of numbers"
        return src_models.card(self.network).option_problem(self.options)

    @property
    def context_slices(self) -> int:
        """Number of slices that its network reads at once."""
        return src_models.card(self.network).context_slices

    @property
    def obstacle(self) -> str:
        """Why it cannot be fine-tuned, a part of a sentence; an empty string if it can."""
        if src_models.card(self.network).trainable:
            return ""
        return graph_options.obstacle(self.options)

    @property
    def takes_other_channels(self) -> bool:
        """Whether it can be fine-tuned for images with another number of channels."""
        trainable = src_models.card(self.network).trainable
        return trainable or graph_options.takes_other_channels(self.options)

    @property
    def volumetric(self) -> bool:
        """Whether its network is 3-D and segments volumes instead of slices."""
        return bool(self.options.get("dims") == 3)

    @property
    def head_channels(self) -> int:
        """Number of output channels of its object head, behind those of the classes."""
        return object_heads.channels(self.head, 3 if self.volumetric else 2)

    def score(self, *names: str) -> float | None:
        """Return the first of several scores that is known; one that is not a number is not."""
        values = (self.scores.get(name, math.nan) for name in names)
        return next((value for value in values if math.isfinite(value)), None)

    def build(self) -> nn.Module:
        """Return its network with fresh weights."""
        outputs = self.classes + self.head_channels
        return src_models.create(self.network, self.in_channels, outputs, **self.options)

    def as_dict(self) -> dict[str, Any]:
        """Return the card as plain JSON data."""
        data = {"format": FORMAT, **asdict(self)}
        if not self.normalisation.mean:  # earlier versions of SegLite read it, too
            data["format"] = _EARLIER
            del data["normalisation"]["mean"], data["normalisation"]["std"]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CheckpointInfo:
        """Read the result of `as_dict`; unknown fields of later versions are ignored.

        Raises
        ------
        CheckpointError
            If a field is missing or of the wrong kind, or a newer version wrote the card.
        """
        try:
            version = data["format"]
            if type(version) is not int or version < 1:
                raise ValueError(f"format: {version!r:.100} is no version")
            if version > FORMAT:
                raise NotUsableHereError(
                    f"Checkpoint {data.get('id')!r:.100} was written by a newer version of "
                    "SegLite. Update SegLite to use it."
                )
            return parse_json(json.dumps(dict(data)), cls)
        except KeyError as error:
            raise CheckpointError(f"The card of this checkpoint has no field {error}.") from error
        except (TypeError, ValueError, RecursionError) as error:
            raise CheckpointError(
                f"The card of this checkpoint cannot be read: {printable(str(error))}."
            ) from error
