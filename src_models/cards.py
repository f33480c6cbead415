"""The cards of the networks: facts about each, readable without importing torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from . import recipes
from .readout_kinds import EARLIER, PIXEL_FEATURES, STRUCTURE


@dataclass(frozen=True)
class NetworkOption:
    """An option of a network's constructor.

    Attributes
    ----------
    name : str
        The argument.
    values : tuple
        The values that it takes; empty for an option that takes a sequence of numbers.
    numbers : int
        Length of that sequence; its numbers are positive.
    title, tip : str
        Its name and its explanation for users. Without a title a panel does not offer it.
    texts : tuple of str
        What the values are called; the values themselves if not given.
    first : any
        The value that training from scratch takes unless another is asked for, one of `values`;
        None leaves it to the constructor.

    Examples
    --------
    >>> NetworkOption("dims", (2, 3)).problem(4)
    'dims is one of 2, 3'
    """

    name: str
    values: tuple[Any, ...] = ()
    numbers: int = 0
    title: str = ""
    tip: str = ""
    texts: tuple[str, ...] = ()
    first: Any = None

    def problem(self, value: Any) -> str:
        """Return why the option cannot have a value; an empty string if it can."""
        if self.values:
            if any(type(value) is type(known) and value == known for known in self.values):
                return ""
            return f"{self.name} is one of {', '.join(map(str, self.values))}"
        if value is None or (
            isinstance(value, (list, tuple))
            and len(value) == self.numbers
            and all(type(v) in (int, float) and 0 < v < math.inf for v in value)
        ):
            return ""
        return f"{self.name} is {self.numbers} positive numbers"


@dataclass(frozen=True)
class NetworkCard:
    """Facts about a network.

    Attributes
    ----------
    name : str
        The name `src_models.create` takes.
    title : str
        The network's name as its authors write it.
    summary : str
        One sentence for a user who has to choose.
    paper, doi : str
        Where it was published.
    parameters : int
        Trainable parameters that inference uses, at `parameters_at`.
    parameters_at : tuple of int
        Input channels and classes of that count and of `gflop`.
    gflop : float
        Billions of floating-point operations of convolutions and matrix products for one image of
        256 x 256 pixels; a multiplication and an addition count as two.
    divisor : int
        Height and width are padded to a multiple of this inside the network.
    loss : str
        The loss of the paper, in words.
    factory : str
        ``"package.module:Class"``, called as ``Class(in_channels, classes, **options)``.
    loss_function : str
        ``"package.module:function"``, called as ``function(outputs, labels, weight)`` with the
        result of the network's ``supervised`` method, or its logits if it has none.
    context_slices : int
        Slices of a stack that the network reads at once, centred on the one it segments.
    pruning_levels : tuple of int
        Depths at which inference can stop early, the whole network last.
    guided : bool
        Whether it has a method ``presence``, which says what an image holds at all.
    uses_scan : bool
        Whether it contains the selective scan, which is compiled on first use.
    bfloat16 : bool
        Whether bfloat16 hardly changes its labels, see *Runtimes* in ``docs/benchmarks.md``, so
        that it is the default where it is faster.
    notes : str
        Anything else to know, such as options or limitations.
    memory : int
        Bytes per pixel that inference needs, in float32 on a CPU.
    memory_format : str
        The one that is faster on most CPUs, ``"channels_last"`` or ``"contiguous"``.
    encoder : tuple of str
        Prefixes of the names of the encoder's parameters, for training only the rest.
    learning_rate : float
        AdamW's learning rate for training all weights with batches of four patches.
    recipe : Recipe or None
        How its authors trained it, where it can be chosen instead of the program's own way.
    options : tuple of NetworkOption or None
        What the factory takes beside channels and classes; None if the card does not tell.
    trainable : bool
        Whether it can be trained from scratch; one that cannot is not offered as a network.
    """

    name: str
    title: str
    summary: str
    paper: str
    doi: str
    parameters: int
    parameters_at: tuple[int, int]
    gflop: float
    divisor: int
    loss: str
    factory: str
    loss_function: str = "src_models.losses:bce_dice"
    context_slices: int = 1
    pruning_levels: tuple[int, ...] = ()
    guided: bool = False
    uses_scan: bool = False
    bfloat16: bool = False
    notes: str = ""
    memory: int = 4000
    memory_format: str = "channels_last"
    encoder: tuple[str, ...] = ()
    learning_rate: float = 1.5e-3
    recipe: recipes.Recipe | None = None
    options: tuple[NetworkOption, ...] | None = None
    trainable: bool = True

    def option_problem(self, options: Mapping[str, Any]) -> str:
        """Return why the network cannot be built with some options; empty if none is known."""
        if self.options is None:
            return ""
        every = (*self.options, NetworkOption(PIXEL_FEATURES, (False, EARLIER, STRUCTURE)))
        known = {option.name: option for option in every}
        for name, value in options.items():
            if name not in known:
                names = ", ".join(known) or "none"
                return f"{self.title} has no such option {name!r:.100}; its options: {names}"
            if problem := known[name].problem(value):
                return problem
        return ""

    @property
    def first_options(self) -> dict[str, Any]:
        """The options that training from scratch begins with where nothing else is asked for."""
        return {o.name: o.first for o in self.options or () if o.first is not None}

    def as_dict(self) -> dict[str, Any]:
        """Return the card as plain JSON data."""
        return asdict(self)


# The network of a checkpoint that was imported from another program. It is not offered as a network
# to train from scratch; whether its checkpoint learns is said by the options, see `graph_options`.
GRAPH = NetworkCard(
    name="graph",
    title="ONNX graph",
    summary="A model of another program.",
    paper="",
    doi="",
    parameters=0,
    parameters_at=(1, 1),
    gflop=0.0,
    divisor=1,
    loss="BCE + Dice",
    factory="src_models.graph_network:GraphNetwork",
    memory=4000,
    trainable=False,
)

CARDS = {
    card.name: card
    for card in (
        NetworkCard(
            name="s-net",
            title="S-Net",
            summary="Shallow network with selective scans: fine borders, few parameters.",
            paper="Shang et al., Computer Methods and Programs in Biomedicine, 2025",
            doi="10.1016/j.cmpb.2025.108730",
            parameters=1_522_306,
            parameters_at=(3, 1),
            gflop=21.1,
            divisor=4,
            loss="BCE + Dice",
            memory=900,
            bfloat16=True,
            encoder=("encoder1.", "encoder2."),
            factory="src_models.s_net:SNet",
            options=(),
            uses_scan=True,
        ),
        NetworkCard(
            name="u2net-msac",
            title="MSAC-U2Net",
            summary="Light nested U-Net with asymmetric kernels: thin structures such as vessels.",
            paper="Sun et al., Journal of Chongqing University of Technology, 2024",
            doi="",
            parameters=465_393,
            parameters_at=(3, 1),
            gflop=24.7,
            divisor=16,
            loss="BCE + Dice + MS-SSIM",
            memory=1300,
            encoder=("stages.",),
            factory="src_models.u2net_msac:U2NetMSAC",
            options=(
                NetworkOption(
                    "variant",
                    ("light", "attention"),
                    title="Variant",
                    tip="How the blocks see several scales. Light: parallel kernels of up to 5 x 5 "
                    "pixels, which become one kernel after training; the fastest. Strip attention: "
                    "strips of 7, 11 and 21 pixels weigh the features, which suits long thin "
                    "structures such as vessels",
                    texts=("light", "strip attention"),
                    first="attention",
                ),
            ),
            loss_function="src_models.losses:bce_dice_ms_ssim",
        ),
        NetworkCard(
            name="unet-sharp",
            title="UNet#",
            summary="U-Net with dense and full-scale skips, in 2-D and 3-D; prunable to go faster.",
            paper="Qian et al., arXiv, 2022",
            doi="10.48550/arXiv.2205.11759",
            parameters=10_748_580,
            parameters_at=(3, 1),
            gflop=146.3,
            divisor=16,
            loss="BCE + Dice on eight outputs + BCE of presence",
            memory=3200,
            memory_format="contiguous",
            bfloat16=True,
            encoder=("nodes.0_0.", "nodes.1_0.", "nodes.2_0.", "nodes.3_0.", "nodes.4_0."),
            factory="src_models.unet_sharp:UNetSharp",
            options=(
                NetworkOption(
                    "preset",
                    ("base", "small", "tiny"),
                    title="Size",
                    tip="Number of features per layer. Base is the published network. Tiny learns "
                    "much faster and suits a few corrected slices; base needs hundreds of images "
                    "and a GPU",
                    texts=("base, 10.7 M parameters", "small, 2.7 M", "tiny, 0.7 M"),
                    first="tiny",
                ),
                # The panel offers volumes by what the training learns from.
                NetworkOption("dims", (2, 3)),
                NetworkOption("spacing", numbers=3),
                NetworkOption("align_corners", (False, True)),
            ),
            loss_function="src_models.losses:deep_supervision",
            pruning_levels=(1, 2, 3, 4),
            guided=True,
            learning_rate=5e-3,
            notes="Options: preset base, small (a quarter of the parameters) or tiny (a "
            "sixteenth), dims 2 or 3. Its decoder heads and guided modules, for training, add "
            "9,800 parameters.",
        ),
        NetworkCard(
            name="celnet",
            title="CeLNet",
            summary="Reads the slices before and after: stacks whose slices resemble each other.",
            paper="Zhang et al., Physics in Medicine and Biology, 2023",
            doi="10.1088/1361-6560/acd519",
            parameters=5_209_433,
            parameters_at=(1, 1),
            gflop=36.7,
            divisor=16,
            loss="Cross-entropy + Dice",
            memory=4000,
            bfloat16=True,
            encoder=("encoder.",),
            factory="src_models.celnet:CeLNet",
            options=(),
            context_slices=3,
        ),
        NetworkCard(
            name="m2snet",
            title="M2SNet",
            summary="Subtracts neighbouring scales of a Res2Net-50: lesions, polyps, big objects.",
            paper="Zhao et al., arXiv, 2023",
            doi="10.48550/arXiv.2303.10894",
            parameters=27_692_585,
            parameters_at=(3, 1),
            gflop=17.8,
            divisor=32,
            loss="Weighted IoU + weighted BCE + 0.1 LossNet",
            memory=500,
            bfloat16=True,
            encoder=("backbone.",),
            factory="src_models.m2snet:M2SNet",
            options=(
                NetworkOption(
                    "multi_scale",
                    (True, False),
                    title="Subtraction",
                    tip="How neighbouring scales are subtracted. Multi-scale: pixel by pixel and "
                    "over 3 x 3 and 5 x 5 pixels, as in M2SNet. Single scale: pixel by pixel, as "
                    "in MSNet, which is faster",
                    texts=("multi-scale", "single scale"),
                ),
                NetworkOption(
                    "preset",
                    ("base", "light"),
                    title="Size",
                    tip="Width of the backbone, a Res2Net-50. Base is the published network, made "
                    "to start from ImageNet weights; light has a quarter of the width and suits a "
                    "start without them",
                    texts=("base, 27.7 M parameters", "light, 3.0 M"),
                    first="light",
                ),
                NetworkOption("own_statistics", (False, True), first=True),
            ),
            loss_function="src_models.losses:structure_lossnet",
            recipe=recipes.M2SNET,
            notes="Options: multi_scale False for MSNet, preset light (3.0 M parameters). Made to "
            "start from Res2Net-50's ImageNet weights; LossNet needs VGG-16's. In float16 for "
            "autocast alone.",
        ),
    )
}
