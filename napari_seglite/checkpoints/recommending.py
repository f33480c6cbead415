"""Which checkpoint to try first on an image: rules over its facts and the cards, pixels unread."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import src_models

from ..images import ImageAxes, PixelSize
from .card import CheckpointInfo
from .text import printable

if TYPE_CHECKING:
    from .store import CheckpointStore

# Typical width in micrometres of what a class is called.
WIDTHS = {"nucleus": 8.0}
# Rescaling bridges this factor between the width of objects and the width that was learnt.
FARTHEST = 8.0
# Slices along Z that make a stack for a network that reads neighbours.
FEWEST_SLICES = 3
# From this number of pixels on, a CPU takes minutes; then the fastest is taken of those whose test
# Dice is within this of the best.
MANY_PIXELS, AS_GOOD = 16_000_000, 0.01
# Operations of a network's smaller presets, as a share of those on its card.
SHARES = {"small": 1 / 4, "tiny": 1 / 16, "light": 1 / 9}
# The place of what is of no use for an image, and other places that the table names.
UNFIT = 9
FIRST_CLICK, FOR_ANYTHING, SPECIAL = 4, 6, 8
# On the card of a start: its mean Dice after four corrected images and a minute, less that of
# BasicUNet from scratch, over the data sets of ``benchmarks/starts.py``.
LEARNING_GAIN = "learning_gain"
# Pixel sizes that differ by more are of other things, even within a project.
SAME_SIZE = 2.0


@dataclass(frozen=True)
class ImageFacts:
    """What is known about an image without reading its pixels.

    Attributes
    ----------
    axes : ImageAxes
        Of the image.
    shape : tuple of int
        Of the image.
    rgb : bool
        Whether the channels are the colours red, green and blue.
    channels : tuple of int or None
        The chosen channels; None for all.
    pixel_size : tuple of float or None
        Height and width of a pixel in micrometres, if known.
    object_diameter : float or None
        Typical width of the objects in pixels, as `inference.estimate_object_size` found it; 0 if
        it found none, None if it was not asked.
    device : str
        Where it will be segmented, such as ``"cpu"``.
    names : frozenset of str
        What training calls this image.
    project : frozenset of str
        What training calls the other images of the project.
    """

    axes: ImageAxes
    shape: tuple[int, ...]
    rgb: bool = False
    channels: tuple[int, ...] | None = None
    pixel_size: PixelSize | None = None
    object_diameter: float | None = None
    device: str = "cpu"
    names: frozenset[str] = frozenset()
    project: frozenset[str] = frozenset()

    @property
    def channel_count(self) -> int:
        """Number of channels that a checkpoint is given; of four colours, alpha does not count."""
        if self.channels is not None:
            return len(self.channels)
        count = self.axes.channel_count(self.shape)
        return 3 if self.rgb and count == 4 else count

    @property
    def slices(self) -> int:
        """Number of slices along Z."""
        return self.shape[self.axes.order.index("Z")] if "Z" in self.axes.order else 1

    @property
    def pixels(self) -> int:
        """Number of pixels of all frames."""
        height, width = self.axes.frame_shape(self.shape)
        return self.axes.frame_count(self.shape) * height * width

    @property
    def is_slow(self) -> bool:
        """Whether a network takes minutes for it."""
        return self.device == "cpu" and self.pixels >= MANY_PIXELS


@dataclass(frozen=True)
class Recommendation:
    """The place of a checkpoint in the list for an image.

    Attributes
    ----------
    checkpoint : str
        Its id.
    reason : str
        Why it has this place, in sentences for the user.
    place : int
        That of the rule which applies to it; 0 is the first. Several can share one.
    """

    checkpoint: str
    reason: str
    place: int

    @property
    def fits(self) -> bool:
        """Whether it can be of use for the image at all."""
        return self.place < UNFIT


@dataclass(frozen=True)
class _Case:
    """A checkpoint beside an image; the rules ask it."""

    info: CheckpointInfo
    facts: ImageFacts
    own: bool

    @property
    def reads_channels(self) -> bool:
        wanted, count = self.info.in_channels, self.facts.channel_count
        if count == 4 and self.facts.channels is None and wanted in (1, 3):
            count = 3  # the fourth counts as alpha
        return (
            wanted == 1 or self.info.any_channels or count in ({1, 3} if wanted == 3 else {wanted})
        )

    @property
    def reads_all_channels(self) -> bool:
        return self.info.in_channels == self.facts.channel_count not in (1, 3)

    def learnt(self, names: Collection[str]) -> bool:
        frames = self.info.settings.get("frames")
        listed = frames if isinstance(frames, (list, tuple)) else ()
        return any(re.sub(r", slice \d+$", "", str(frame)) in names for frame in listed)

    @property
    def as_large(self) -> bool:
        """Whether its training data may have had this pixel size."""
        here, there = self.facts.pixel_size, self.info.spacing
        return here is None or there is None or _near(fmean(here), fmean(there), SAME_SIZE)

    @property
    def reads_slices(self) -> bool:
        return self.info.volumetric or self.info.context_slices > 1

    @property
    def is_stack(self) -> bool:
        return self.facts.slices >= FEWEST_SLICES

    @property
    def needs_colours(self) -> bool:
        return self.info.in_channels == 3 and not self.info.any_channels

    @property
    def is_start(self) -> bool:
        """Whether it was made to be fine-tuned, as the descriptions of such checkpoints say."""
        return "a start for" in self.info.description.lower()

    @property
    def knows_size(self) -> bool:
        return self.info.objects and self.info.object_diameter > 0

    @property
    def kind(self) -> str:
        return self.info.class_names[-1]

    @property
    def width(self) -> float | None:
        """Pixels of the objects here: as they were found, or as the pixel size lets expect."""
        if self.facts.object_diameter:
            return self.facts.object_diameter
        size, usual = self.facts.pixel_size, WIDTHS.get(self.kind)
        return None if size is None or usual is None else usual / fmean(size)

    @property
    def is_near(self) -> bool:
        width = self.width
        return width is not None and _near(width, self.info.object_diameter, FARTHEST)

    @property
    def sizes(self) -> str:
        """How wide objects are here, and how wide those were that it learnt."""
        found = self.facts.object_diameter
        what = "Objects here are" if found else f"At this pixel size a {self.kind} is"
        width, learnt = _pixels(self.width or 0.0), _pixels(self.info.object_diameter)
        return f"{what} about {width} pixels wide; it learnt {learnt}"

    @property
    def gain(self) -> str:
        """How it learns beside a plain U-Net; empty if that was not measured."""
        gain = self.info.score(LEARNING_GAIN)
        if gain is None:
            return ""
        side = "ahead of" if gain >= 0 else "behind"
        return f" After four images and a minute it was {abs(gain):.2f} Dice {side} a plain U-Net."

    @property
    def merit(self) -> float:
        """Number by which those of one place are ordered: how a start learns, what others reach."""
        gain = self.info.score(LEARNING_GAIN)
        return _score(self.info) if gain is None or not self.is_start else gain

    @property
    def about(self) -> str:
        """What it says of itself first."""
        return printable(self.info.description.split(". ")[0].rstrip("."), longest=200)


@dataclass(frozen=True)
class Rule:
    """A line of the table.

    Attributes
    ----------
    place : int
        Of the checkpoints that it applies to; 0 is the first, `UNFIT` is not recommended.
    applies : callable
        Whether it does, for a checkpoint beside an image.
    reason : str
        For the user; names in braces are attributes of what `applies` is given.
    """

    place: int
    applies: Callable[[_Case], bool]
    reason: str


# The first rule that applies to a checkpoint gives its place.
RULES = (
    Rule(
        UNFIT,
        lambda case: not case.reads_channels,
        "It needs {case.info.in_channels} channels, and this image has {case.facts.channel_count}.",
    ),
    Rule(
        0,
        lambda case: case.own and case.learnt(case.facts.names),
        "You trained it on this image.",
    ),
    Rule(
        1,
        lambda case: case.own and case.learnt(case.facts.project) and case.as_large,
        "You trained it on other images of this project.",
    ),
    Rule(
        UNFIT,
        lambda case: case.reads_slices and not case.is_stack,
        "It reads several slices at once, and this image is no stack along Z.",
    ),
    Rule(
        UNFIT,
        lambda case: case.needs_colours and not case.own and not case.facts.rgb,
        "It learnt in colour, and this image has no colours.",
    ),
    Rule(
        UNFIT,
        lambda case: case.knows_size and case.facts.object_diameter == 0,
        "It finds no objects here at any size.",
    ),
    Rule(
        UNFIT,
        lambda case: case.knows_size and case.width is not None and not case.is_near,
        "{case.sizes}, which is too far apart.",
    ),
    Rule(
        2,
        lambda case: case.own and case.reads_all_channels,
        "You trained it on images with {case.facts.channel_count} channels, as this one has.",
    ),
    # A start that was fetched or imported is nobody's own.
    Rule(7, lambda case: case.own and not case.is_start, "You trained it on other images."),
    Rule(3, lambda case: case.knows_size and case.is_near, "{case.sizes}."),
    Rule(
        FIRST_CLICK,
        lambda case: case.info.objects,
        "It needs no training if this is what the image shows: {case.about}.",
    ),
    Rule(
        FOR_ANYTHING,
        lambda case: case.is_start and case.reads_slices,
        "It reads the slices before and after, and this stack has {case.facts.slices} along Z."
        "{case.gain}",
    ),
    Rule(FOR_ANYTHING, lambda case: case.is_start, "{case.about}.{case.gain}"),
    Rule(SPECIAL, lambda case: not case.about, "It does not say what it learnt."),
    Rule(SPECIAL, lambda case: True, "Only for what it learnt: {case.about}."),
)


def recommend(
    facts: ImageFacts, infos: Sequence[CheckpointInfo], own: Collection[str] = ()
) -> list[Recommendation]:
    """Return checkpoints in the order in which to try them on an image, each with its reason.

    Parameters
    ----------
    facts : ImageFacts
        Of the image.
    infos : sequence of CheckpointInfo
        The cards to choose from, such as `CheckpointStore.list` returns them.
    own : collection of str
        Ids of the checkpoints that the user trained or added.

    Examples
    --------
    >>> from napari_seglite.checkpoints import CheckpointStore
    >>> facts = ImageFacts(ImageAxes("YX"), (512, 512), pixel_size=(0.5, 0.5))
    >>> recommend(facts, CheckpointStore().list())[0].reason
    'At this pixel size a nucleus is about 16 pixels wide; it learnt 20.'
    """
    cases = [_Case(info, facts, info.id in own) for info in infos]
    placed: dict[int, list[tuple[_Case, str]]] = {}
    for case in cases:
        rule = next(rule for rule in RULES if rule.applies(case))
        placed.setdefault(rule.place, []).append((case, rule.reason.format(case=case)))
    listed = [
        (place, case, reason)
        for place in sorted(placed)
        for case, reason in _in_order(placed[place])
    ]
    return [
        Recommendation(case.info.id, _with_others(place, reason, listed), place)
        for place, case, reason in listed
    ]


def recommend_from(store: CheckpointStore, facts: ImageFacts) -> list[Recommendation]:
    """Return what `recommend` says of all checkpoints of a store."""
    infos = store.list()
    return recommend(facts, infos, [info.id for info in infos if not store.is_built_in(info.id)])


def _in_order(cases: list[tuple[_Case, str]]) -> list[tuple[_Case, str]]:
    """Return the checkpoints of one place: the user's by date, others by score and speed."""
    cases = sorted(cases, key=lambda each: (each[0].info.created, each[0].merit))[::-1]
    if all(case.own for case, _ in cases):
        return cases
    cases = sorted(cases, key=lambda each: -each[0].merit)
    facts, best = cases[0][0].facts, cases[0][0].info
    if not facts.is_slow:
        return cases
    good = [each for each in cases if each[0].merit >= cases[0][0].merit - AS_GOOD]
    fast, reason = min(good, key=lambda each: _work(each[0].info))
    if _work(fast.info) < _work(best):
        times, many = _work(best) / _work(fast.info), facts.pixels / 1e6
        reason += (
            f" It needs {times:.2g} times fewer operations than {best.id} at nearly the same "
            f"score, for {many:.0f} million pixels on a CPU."
        )
    return [(fast, reason), *(each for each in cases if each[0] is not fast)]


def _with_others(place: int, reason: str, listed: list[tuple[int, _Case, str]]) -> str:
    """Add to a reason what to take if it is wrong, or why nothing better fits."""
    if place == FIRST_CLICK:
        cases = [case for at, case, _ in listed if at == SPECIAL and case.about]
        special = [f"{case.info.id} for {_within(case.about)}" for case in cases]
        starts = [case.info.id for at, case, _ in listed if at == FOR_ANYTHING]
        others = special[:2] + [f"{start} for anything else" for start in starts[:1]]
        return f"{reason} Or take {', '.join(others)}." if others else reason
    if place == FOR_ANYTHING:
        sized = (
            f"{case.info.id} does not suit it: {why}"
            for at, case, why in listed
            if at == UNFIT and case.knows_size and not case.own
        )
        return f"{reason} {next(sized, '')}".strip()
    return reason


def _score(info: CheckpointInfo) -> float:
    """Return its Dice on test images; the mean over several sets, and 0 without any."""
    whole = info.score("test_dice")
    if whole is not None:
        return whole
    sets = [info.score(name) for name in info.scores if name.startswith("test_dice_")]
    return fmean([dice for dice in sets if dice is not None] or [0.0])


def _work(info: CheckpointInfo) -> float:
    """Return about how many operations it takes for a pixel, in any unit."""
    return src_models.card(info.network).gflop * SHARES.get(str(info.options.get("preset")), 1.0)


def _pixels(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.1g}"


def _within(text: str) -> str:
    """Return a text as part of a sentence."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _near(one: float, other: float, factor: float) -> bool:
    return other / factor <= one <= other * factor
