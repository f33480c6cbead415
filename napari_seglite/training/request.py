"""What a training run is asked for, and the news it sends."""

from __future__ import annotations

from dataclasses import dataclass, replace

import src_models

from ..checkpoints.store import CheckpointInfo, CheckpointStore
from ..errors import CheckpointError

TRAINABLE = ("all", "decoder")
# A start whose held-out Dice is lower knows little of the task; of scribbles, which keep away from
# borders, it has to be higher.
FAMILIAR, FAMILIAR_SCRIBBLES = 0.65, 0.9
# Share of the patches that is replayed where such a start shall be held on to all the same.
HELD = 0.5


@dataclass(frozen=True)
class FineTuneRequest:
    """How to train.

    Attributes
    ----------
    checkpoint : str
        Where to start: a checkpoint's id, or a network's name to start from scratch.
    name : str
        Of the new checkpoint.
    steps : int
        Weight updates at most.
    minutes : float
        Time at most; whichever ends first.
    batch, patch : int
        Patches per step and their size in pixels.
    learning_rate, weight_decay : float
        Of AdamW; the rate rises over the first steps and falls along a cosine.
    rate_if_new : float, optional
        The learning rate instead, where the start knows little of the task.
    familiar : float
        Held-out Dice below which a start knows little of the task.
    steps_if_new : int, optional
        The number of steps instead, for such a start.
    hold_on : bool
        Whether replay and anchor stay even then, with half of the patches replayed. If not, what
        the start knew is let go, which leaves more time and freedom for the new task.
    validation : float
        Share of the frames to score on.
    validate_every, patience : int
        Steps between scores, and how many scores without progress end the training.
    folds : int
        Above 1, what was corrected is cut into so many parts that are held out in turn; the last
        run learns from all of it, for as long as the others did well. For few frames.
    replay : float
        Share of the patches drawn from what the starting checkpoint learnt from, if it brought
        some of that along, so that it does not forget.
    anchor : float
        How far every step pulls the weights back to those it started from, as a share of the
        distance at the full learning rate (L2-SP; Li et al., 2018, decoupled as weight decay is).
    reach : float
        How far from the starting weights to those that were learnt the new ones lie: 1 is all the
        way. Somewhat less costs little on images like those that were learnt from and keeps more
        of what the start knew of others (WiSE-FT; Wortsman et al., 2022). All the way if the start
        knows little of the task.
    trainable : str
        ``"all"`` weights learn, or those of the ``"decoder"`` and the norms alone.
    class_names : tuple of str, optional
        Of the new checkpoint, background first, where they are not the starting one's; the last
        layer begins anew if there are more or fewer.
    in_channels : int, optional
        Of the new checkpoint, where they are not the starting one's; its first layer reads them
        all alike to begin with.
    scale, invert, intensity : float
        Augmentation, see `PatchSampler`.
    frozen_norm : bool
        Batch norms keep the statistics they start with. A small batch's statistics differ from
        the running ones that inference uses; a network trained on has to live with the latter.
    bfloat16 : bool
        Convolutions and products compute in bfloat16, weights and loss stay float32. Faster where
        the processor has instructions for it (AVX-512 BF16, AMX, recent GPUs), slower elsewhere.
    keep_best : bool
        Keep the weights of the best validation, as suits few and noisy annotations; otherwise the
        last ones, as suits a long run whose learning rate comes to rest.
    seed : int
        Of weights, split and patches.
    split_seed : int, optional
        Of the split, where runs that follow each other shall validate on the same frames.
    device : str
        As `devices.resolve` takes it.
    spacing : tuple of float, optional
        Height and width of the images' pixels in micrometres, for the new checkpoint's card.
    """

    checkpoint: str
    name: str
    steps: int = 200
    minutes: float = 10.0
    batch: int = 4
    patch: int = 128
    learning_rate: float = 5e-4
    weight_decay: float = 1e-3
    rate_if_new: float | None = None
    familiar: float = FAMILIAR
    steps_if_new: int | None = None
    hold_on: bool = False
    validation: float = 0.2
    validate_every: int = 20
    patience: int = 6
    folds: int = 1
    replay: float = 0.25
    anchor: float = 1e-3
    reach: float = 1.0
    trainable: str = "all"
    class_names: tuple[str, ...] | None = None
    in_channels: int | None = None
    scale: float = 1.25
    invert: float = 0.0
    intensity: float = 1.0
    frozen_norm: bool = False
    bfloat16: bool = False
    keep_best: bool = True
    seed: int = 0
    split_seed: int | None = None
    device: str = "auto"
    spacing: tuple[float, float] | None = None

    def unfamiliar(self, dice: float) -> bool:
        """Whether a start of this held-out Dice knows little of the task."""
        return self.rate_if_new is not None and dice < self.familiar

    def from_anew(self) -> FineTuneRequest:
        """Return the same for a start that knows little of the task."""
        rate = self.rate_if_new or self.learning_rate
        steps = self.steps_if_new or self.steps
        fresh = replace(
            self,
            learning_rate=rate,
            steps=steps,
            rate_if_new=None,
            steps_if_new=None,
            reach=1.0,
        )
        if self.hold_on:
            return replace(fresh, replay=max(fresh.replay, HELD) if fresh.replay else 0.0)
        return replace(fresh, replay=0.0, anchor=0.0)

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "minutes",
            "batch",
            "patch",
            "learning_rate",
            "validate_every",
            "patience",
            "folds",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}.")
        if not 0 < self.validation < 1:
            raise ValueError(f"validation must lie between 0 and 1, not {self.validation}.")
        if self.scale < 1 or not 0 <= self.invert <= 1 or not 0 <= self.intensity <= 1:
            raise ValueError(
                "scale must be at least 1, and invert and intensity lie between 0 and 1."
            )
        if not 0 <= self.replay < 1 or not 0 <= self.anchor < 1:
            raise ValueError("replay and anchor must lie between 0 and 1, 1 left out.")
        if not 0 < self.reach <= 1:
            raise ValueError(f"reach must be above 0 and at most 1, not {self.reach}.")
        if self.trainable not in TRAINABLE:
            raise ValueError(f"trainable must be one of {', '.join(TRAINABLE)}.")


def start_info(
    request: FineTuneRequest, store: CheckpointStore, template: CheckpointInfo | None = None
) -> CheckpointInfo:
    """Return the card that the new checkpoint begins with.

    Raises
    ------
    CheckpointError
        If the starting point does not exist.
    """
    if request.checkpoint in src_models.names():
        blank = template or CheckpointInfo(request.name, request.checkpoint)
        info = replace(
            blank,
            id=request.name,
            network=request.checkpoint,
            parent=None,
            spacing=request.spacing or blank.spacing,
        )
    else:
        parent = store.info(request.checkpoint)
        info = replace(
            parent,
            id=request.name,
            parent=request.checkpoint,
            description=f"Fine-tuned from {parent.id}.",
            spacing=request.spacing or parent.spacing,
        )
    if request.in_channels is not None:
        info = replace(info, in_channels=request.in_channels)
    if request.class_names is None:
        return info
    names = tuple(request.class_names)
    if len(names) < 2:
        raise CheckpointError("Name the background and one class at least.")
    # One class needs a single output, and keeps more if the starting point has two already.
    classes = info.classes if len(names) == len(info.class_names) else len(names)
    if len(names) == 2 and classes != info.classes:
        classes = 1
    return replace(info, classes=classes, class_names=names)
