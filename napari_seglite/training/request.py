"""The settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from src_models import object_heads

from ..errors import SegliteError

Trainable = Literal["all", "decoder"]
Precision = Literal["float32", "bfloat16"]
RecipeName = Literal["ours", "authors"]
TRAINABLE: tuple[Trainable, ...] = get_args(Trainable)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
RECIPES: tuple[RecipeName, ...] = get_args(RecipeName)
# Held-out Dice from which a start knows the task. Scribbles keep away from borders, so that a
# useless start scores higher on them.
KNOWN_DICE, KNOWN_DICE_SPARSE = 0.65, 0.9
# Share of the patches that is replayed in full training with `Retention.keep_always`.
REPLAY_IN_FULL_TRAINING = 0.5


@dataclass(frozen=True)
class Schedule:
    """Length, batch size and learning rate of a run.

    Attributes
    ----------
    steps : int
        Weight updates at most.
    minutes : float
        Time limit; training ends with whichever comes first.
    batch, patch : int
        Patches per step, and their side in pixels.
    learning_rate, weight_decay : float
        Of AdamW (Loshchilov and Hutter, 2019); the rate warms up over the first steps and then
        follows half a cosine.
    """

    steps: int = 200
    minutes: float = 10.0
    batch: int = 4
    patch: int = 128
    learning_rate: float = 5e-4
    weight_decay: float = 1e-3

    def __post_init__(self) -> None:
        _check_positive(self, "steps", "minutes", "batch", "patch", "learning_rate")


@dataclass(frozen=True)
class FullTraining:
    """A schedule for starting checkpoints that do not know the task, see `Retention.known_dice`.

    Attributes
    ----------
    learning_rate : float
        In place of `Schedule.learning_rate`.
    steps : int or None
        In place of `Schedule.steps`; None keeps those.
    """

    learning_rate: float
    steps: int | None = None


@dataclass(frozen=True)
class Augmentation:
    """Random changes to the patches that a network learns from, see `PatchSampler`.

    Attributes
    ----------
    scale : float
        Patches are enlarged or shrunk by up to this factor, at least 1.
    invert : float
        Probability that bright and dark change places, 0 to 1.
    intensity : float
        Frequency of changes to contrast, brightness, sharpness and noise: 0 never, 1 as usual.
    rotation : float
        Patches are turned by up to this angle in degrees, and from 45 on also by right angles.
    """

    scale: float = 1.25
    invert: float = 0.0
    intensity: float = 1.0
    rotation: float = 45.0

    def __post_init__(self) -> None:
        if self.scale < 1 or not 0 <= self.invert <= 1 or not 0 <= self.intensity <= 1:
            raise SegliteError(
                "scale must be at least 1, and invert and intensity must lie between 0 and 1."
            )


@dataclass(frozen=True)
class Retention:
    """Protection of the starting checkpoint against forgetting.

    Attributes
    ----------
    replay : float
        Share of the patches drawn from the starting checkpoint's replay buffer, if it has one.
    anchor : float
        Pull of every step towards the starting weights, as a share of the distance at the full
        learning rate (L2-SP; Li et al., 2018, decoupled as weight decay is).
    interpolation : float
        Position of the saved weights between the starting weights (0) and the learnt ones (1).
        Below 1 costs little on the new images and keeps more of the old ones (WiSE-FT; Wortsman
        et al., 2022).
    known_dice : float
        Held-out Dice from which the starting checkpoint counts as knowing the task.
    keep_always : bool
        Keep replay and anchor even if the starting checkpoint does not know the task, with half
        of the patches replayed. Otherwise such a start is let go, which leaves more time and
        freedom for the new task.
    """

    replay: float = 0.25
    anchor: float = 1e-3
    interpolation: float = 1.0
    known_dice: float = KNOWN_DICE
    keep_always: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.replay < 1 or not 0 <= self.anchor < 1:
            raise SegliteError("replay and anchor must lie between 0 and 1, 1 excluded.")
        if not 0 < self.interpolation <= 1:
            raise SegliteError(
                f"interpolation must be above 0 and at most 1, not {self.interpolation}."
            )


@dataclass(frozen=True)
class Validation:
    """Held-out data, scores and early stopping.

    Attributes
    ----------
    held_out : float
        Share of the frames that is held out, between 0 and 1.
    validate_every : int
        Steps between two scores.
    patience : int
        Scores without improvement after which training stops.
    folds : int
        Above 1, cross-validation: the annotated pixels are divided into this many folds, held out
        in turn, and the last run learns from all of them for as long as the others improved. For
        few frames.
    keep_best : bool
        Save the weights with the best score, as suits few and noisy annotations; otherwise the
        last ones, as suits a long run whose learning rate comes to rest.
    keep_unimproved : bool
        Save a checkpoint even if `keep_best` found no weights that are better than the start's;
        it is a copy of the start then.
    split_seed : int or None
        Of the split, for runs that must hold out the same frames; None takes the run's seed.
    """

    held_out: float = 0.2
    validate_every: int = 20
    patience: int = 6
    folds: int = 1
    keep_best: bool = True
    keep_unimproved: bool = False
    split_seed: int | None = None

    def __post_init__(self) -> None:
        _check_positive(self, "validate_every", "patience", "folds")
        if not 0 < self.held_out < 1:
            raise SegliteError(f"held_out must lie between 0 and 1, not {self.held_out}.")


_GROUPS = ("schedule", "augmentation", "retention", "validation")


@dataclass(frozen=True)
class FineTuneRequest:
    """The settings of a training run.

    Attributes
    ----------
    checkpoint : str
        The start: a checkpoint's id, or a network's name to train from scratch.
    name : str
        Of the new checkpoint.
    schedule : Schedule
        How long and how fast it learns.
    augmentation : Augmentation
        Random changes to the patches.
    retention : Retention
        How much of the start is kept.
    validation : Validation
        How it is scored.
    full_training : FullTraining or None
        The schedule where the start does not know the task; None keeps `schedule`.
    first_answer : bool
        Where the start does not know the task, first fit simple features of the image to the
        annotated pixels, which takes a second, and go on from there; see
        `src_models.pixel_features`.
    recipe : str
        ``"ours"``, or the ``"authors"``' own optimiser and image sizes for networks whose card
        has a recipe, see `with_authors_recipe`.
    trainable : str
        ``"all"`` weights learn, or only those of the ``"decoder"`` and of the norms.
    frozen_norm : bool
        Keep the starting statistics of batch norms. Those of a small batch differ from the
        running ones that inference uses.
    precision : str
        ``"float32"``, or ``"bfloat16"`` for convolutions and products, with weights and loss in
        float32. The latter is faster on processors with instructions for it (AVX-512 BF16, AMX,
        recent GPUs) and slower elsewhere.
    class_names : tuple of str or None
        Of the new checkpoint, background first; None keeps the start's. The last layer begins
        anew if the number of classes changes.
    in_channels : int or None
        Of the new checkpoint; None keeps the start's. The first layer then begins with the mean
        over the old channels.
    head : str or None
        Object head of the new checkpoint, one of `src_models.object_heads.NAMES`, or an empty
        string for none; None keeps the start's. A new head begins with fresh weights.
    options : dict or None
        Options of a network that starts from scratch, see its card; None for the template's, or
        without a template for its card's `first_options`.
    seed : int
        Of weights, split and patches.
    device : str
        As `devices.resolve` takes it.
    spacing : tuple of float or None
        Height and width of the images' pixels in micrometres, for the new checkpoint's card.

    Raises
    ------
    SegliteError
        If a value is out of its range.

    Examples
    --------
    >>> request = FineTuneRequest("nuclei-s-net", "my-nuclei", Schedule(steps=400, minutes=5))
    >>> request.adjusted(batch=8, replay=0.5).schedule
    Schedule(steps=400, minutes=5, batch=8, patch=128, learning_rate=0.0005, weight_decay=0.001)
    """

    checkpoint: str
    name: str
    schedule: Schedule = field(default_factory=Schedule)
    augmentation: Augmentation = field(default_factory=Augmentation)
    retention: Retention = field(default_factory=Retention)
    validation: Validation = field(default_factory=Validation)
    full_training: FullTraining | None = None
    first_answer: bool = True
    recipe: RecipeName = "ours"
    trainable: Trainable = "all"
    frozen_norm: bool = False
    precision: Precision = "float32"
    class_names: tuple[str, ...] | None = None
    in_channels: int | None = None
    head: str | None = None
    options: dict[str, Any] | None = None
    seed: int = 0
    device: str = "auto"
    spacing: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.trainable not in TRAINABLE:
            raise SegliteError(f"trainable must be one of {', '.join(TRAINABLE)}.")
        if self.recipe not in RECIPES:
            raise SegliteError(f"recipe must be one of {', '.join(RECIPES)}.")
        if self.precision not in PRECISIONS:
            raise SegliteError(f"precision must be one of {', '.join(PRECISIONS)}.")
        if self.head and self.head not in object_heads.NAMES:
            raise SegliteError(
                f"An object head is one of {', '.join(object_heads.NAMES)}, not {self.head}."
            )

    def adjusted(self, **settings: Any) -> FineTuneRequest:
        """Return the request with some settings changed, each by its own name.

        Parameters
        ----------
        **settings
            Fields of the request, or of its schedule, augmentation, retention or validation; no
            two groups share a name.

        Raises
        ------
        TypeError
            If there is no such setting.
        SegliteError
            If a value is out of its range.
        """
        changes: dict[str, Any] = {}
        for group in _GROUPS:
            before = settings.pop(group, getattr(self, group))
            names = {f.name for f in fields(before)} & settings.keys()
            changes[group] = replace(before, **{name: settings.pop(name) for name in names})
        return replace(self, **changes, **settings)

    def needs_full_training(self, dice: float) -> bool:
        """Whether a start with this held-out Dice does not know the task."""
        return self.full_training is not None and dice < self.retention.known_dice

    def for_full_training(self) -> FineTuneRequest:
        """Return the request for a start that does not know the task."""
        full, retention = self.full_training, self.retention
        schedule = self.schedule
        if full is not None:
            steps = full.steps or schedule.steps
            schedule = replace(schedule, learning_rate=full.learning_rate, steps=steps)
        if not retention.keep_always:
            retention = replace(retention, replay=0.0, anchor=0.0)
        elif retention.replay:
            share = max(retention.replay, REPLAY_IN_FULL_TRAINING)
            retention = replace(retention, replay=share)
        retention = replace(retention, interpolation=1.0)
        return replace(self, schedule=schedule, retention=retention, full_training=None)


def _check_positive(group: Any, *names: str) -> None:
    for name in names:
        if getattr(group, name) <= 0:
            raise SegliteError(f"{name} must be above 0, not {getattr(group, name)}.")
