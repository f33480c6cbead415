"""What the description of a package says about its model, in our terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src_models import object_heads

from ..checkpoints import printable
from ..errors import CheckpointError
from ..images import Normalisation

if TYPE_CHECKING:
    from bioimageio.spec.model import v0_5

# Clips nothing: cards hold finite numbers.
_ANY = 1e9
_EIGHT_BITS = Normalisation(mean=(0.0,), std=(1.0,))


@dataclass(frozen=True)
class Description:
    """A model as its package describes it.

    Attributes
    ----------
    name, text : str
        Its name, and a sentence about it.
    channels : int
        Of the image.
    axes : str
        Of image and output, such as ``"bcyx"``.
    divisor, smallest : int
        Height and width of the image are multiples of the first, from the second on.
    fixed : tuple of int or None
        Height and width, if there is only one size.
    normalisation : Normalisation
        Ours that does what the package describes.
    standardised, each_channel : bool
        See `src_models.graph_network.GraphNetwork`.
    probabilities : bool
        Whether the graph itself returns probabilities.
    independent : bool
        Whether its output channels are probabilities by themselves, and do not sum to 1.
    threshold : float
        From which probability on a pixel is foreground.
    output_names : tuple of str
        Of the output channels.
    onnx : Path or None
        The graph.
    code : Any
        The entry of TorchScript or of a state dict with its source, if there is no graph.
    origin : dict
        For the card of the checkpoint.
    """

    name: str
    channels: int = 1
    axes: str = "bcyx"
    divisor: int = 1
    smallest: int = 1
    fixed: tuple[int, int] | None = None
    text: str = ""
    normalisation: Normalisation = field(default_factory=Normalisation)
    standardised: bool = False
    each_channel: bool = False
    probabilities: bool = False
    independent: bool = False
    threshold: float = 0.5
    output_names: tuple[str, ...] = ()
    onnx: Path | None = None
    code: Any = None
    origin: dict[str, str] = field(default_factory=dict)

    def classes(self, outputs: int) -> tuple[int, tuple[str, ...], str]:
        """Return the number of classes, their names, and the object head of a graph's output.

        Channels behind the first that are shares by themselves are an object head: the one whose
        name they have, or a single one that of borders.
        """
        names = self.output_names if len(self.output_names) == outputs else ()
        named = [printable(name)[:50] or f"class {k}" for k, name in enumerate(names)]
        if outputs == 1:
            return 1, ("background", named[0] if named else "object"), ""
        if self.independent and (head := _head(names, outputs)):
            return 1, ("background", named[0] if named else "object"), head
        return (
            outputs,
            tuple(named or ["background", *(f"class {k}" for k in range(1, outputs))]),
            "",
        )


def _head(names: Sequence[str], outputs: int) -> str:
    """Return the object head that the channels behind the first are; empty for none."""
    for head in (object_heads.BORDER, object_heads.DISTANCE):
        fits = len(names) == outputs == 1 + object_heads.channels(head)
        if fits and all(name.startswith(head) for name in names[1:]):
            return head
    return object_heads.BORDER if outputs == 2 else ""


def described(source: Path, folder: Path, raw: dict[str, Any]) -> Description:
    """Read the description of an unpacked package.

    Parameters
    ----------
    source : Path
        The package, for messages.
    folder : Path
        Where it was unpacked.
    raw : dict
        The content of its description.

    Raises
    ------
    CheckpointError
        If its model is of no kind that can be used.
    """
    model = _validated(source, folder)
    if len(model.inputs) != 1:
        raise CheckpointError(f"{source}: the model takes {len(model.inputs)} images, not one.")
    image, output = model.inputs[0], model.outputs[0]
    facts = _sides(source, image)
    read = Description(
        name=str(model.name),
        text=str(model.description),
        output_names=_channels(output),
        origin=_origin(source, model),
        **facts,
    )
    read = _normalised(source, image, read)
    read = _finished(source, output, read)
    onnx = model.weights.onnx
    if onnx is not None:
        return replace(read, onnx=inside(source, folder, onnx.source))
    code = model.weights.torchscript or model.weights.pytorch_state_dict
    if code is None:
        kinds = ", ".join(raw.get("weights", {})) or "none"
        raise CheckpointError(
            f"{source} has weights of other kinds only: {kinds}. SegLite reads ONNX, TorchScript "
            "and PyTorch state dicts."
        )
    return replace(read, code=code)


def _validated(source: Path, folder: Path) -> v0_5.ModelDescr:
    from bioimageio.spec import InvalidDescr, load_description
    from bioimageio.spec.model import v0_5

    from .unpacking import DESCRIPTIONS

    file = next(folder / name for name in DESCRIPTIONS if (folder / name).is_file())
    model = load_description(file, format_version="latest", perform_io_checks=False)
    if isinstance(model, InvalidDescr) or not isinstance(model, v0_5.ModelDescr):
        errors = [e for d in model.validation_summary.details for e in d.errors]
        why = f"{'.'.join(map(str, errors[0].loc))}: {errors[0].msg}" if errors else "unknown"
        raise CheckpointError(f"{source}: its description is not valid: {printable(why)[:300]}.")
    return model


def inside(source: Path, folder: Path, file: Any) -> Path:
    """Return a file of the package; nothing is fetched from elsewhere."""
    text = str(file)
    if "://" in text:
        raise CheckpointError(f"{source} lacks its weights: they lie at {printable(text)[:200]}.")
    path = Path(getattr(file, "path", None) or text)
    return path if path.is_absolute() else folder / path


# ------------------------------------------------------------------ axes
def _sides(source: Path, image: Any) -> dict[str, Any]:
    from bioimageio.spec.model import v0_5 as m

    axes, sides, channels = "", {}, 1
    for axis in image.axes:
        letter = {"batch": "b", "channel": "c"}.get(str(axis.id), str(axis.id))
        axes += letter[:1]
        if letter == "c":
            channels = len(axis.channel_names)
        elif letter in ("y", "x"):
            sides[letter] = axis.size
    if sorted(axes) not in (sorted("bcyx"), sorted("byx")):
        names = ", ".join(str(axis.id) for axis in image.axes)
        raise CheckpointError(
            f"{source}: the model takes images with the axes {names}. SegLite uses models for "
            "images with the axes batch, channel, y and x."
        )
    facts: dict[str, Any] = {"axes": axes, "channels": channels}
    sizes = [sides["y"], sides["x"]]
    if all(isinstance(size, int) for size in sizes):
        return {**facts, "fixed": (sizes[0], sizes[1])}
    varied = [size for size in sizes if isinstance(size, m.ParameterizedSize)]
    if not varied:
        return facts
    step, least = max(s.step for s in varied), max(s.min for s in varied)
    # min + n * step: where the step does not divide the minimum, its multiples are not taken.
    if any(s.min % step for s in varied):
        raise CheckpointError(
            f"{source}: the model takes images of {least} pixels and steps of {step}, of which "
            f"{least} is no multiple."
        )
    return {**facts, "divisor": step, "smallest": least}


def _channels(tensor: Any) -> tuple[str, ...]:
    for axis in tensor.axes:
        if str(axis.id) == "channel":
            return tuple(map(str, axis.channel_names))
    return ()


# ------------------------------------------------------------------ before and after the graph
def _normalised(source: Path, image: Any, read: Description) -> Description:
    """Return the description with our normalisation for a package's."""
    kind = getattr(image.data, "type", "float32")
    factor, found = 1.0, None
    for step in image.preprocessing:
        kwargs: Any = getattr(step, "kwargs", None)
        name = str(step.id)
        if name == "ensure_dtype":
            continue
        if name == "scale_linear" and isinstance(kwargs.gain, float) and not kwargs.offset:
            factor *= kwargs.gain
        elif name == "scale_range":
            low, high = float(kwargs.min_percentile), float(kwargs.max_percentile)
            found = Normalisation(low, high, -_ANY, _ANY)
        elif name == "clip" and found is not None and not found.mean and kwargs.min is not None:
            top = _ANY if kwargs.max is None else kwargs.max
            found = replace(found, clip_low=float(kwargs.min), clip_high=float(top))
        elif name == "zero_mean_unit_variance":
            each = kwargs.axes is not None and "channel" not in map(str, kwargs.axes)
            wide = Normalisation(0.0, 100.0, -_ANY, _ANY)
            found, read = found or wide, replace(read, standardised=True, each_channel=each)
        elif name == "fixed_zero_mean_unit_variance":
            found = _fixed(kwargs)
        else:
            raise CheckpointError(
                f"{source}: SegLite does not know the preparation {name!r} of images."
            )
    if found is None or found.mean:
        # Ours is for a full range of 0 to 1; eight bits are 0 to 255 where nothing scales them, as
        # statistics above 1 are those of eight bits.
        found = found or _EIGHT_BITS
        if factor == 1.0 and (kind == "uint8" or max(found.mean) > 1):
            mean, std = ([value / 255 for value in each] for each in (found.mean, found.std))
            found = replace(found, mean=tuple(mean), std=tuple(std))
        found = found.with_channels(read.channels)
    return replace(read, normalisation=found)


def _fixed(kwargs: Any) -> Normalisation:
    mean, std = (
        tuple(map(float, each)) if isinstance(each, (list, tuple)) else (float(each),)
        for each in (kwargs.mean, kwargs.std)
    )
    return Normalisation(mean=mean, std=std)


def _finished(source: Path, output: Any, read: Description) -> Description:
    """Return the description with what the output means."""
    steps = [step for step in output.postprocessing if str(step.id) != "ensure_dtype"]
    if not steps:
        # Most graphs of others end in their probabilities; the words of the package decide.
        logits = "logit" in f"{output.id} {output.description}".lower()
        return replace(read, probabilities=not logits, independent=True)
    for step in steps:
        kwargs: Any = getattr(step, "kwargs", None)
        name = str(step.id)
        if name == "sigmoid":
            read = replace(read, independent=True)
        elif name == "binarize" and isinstance(kwargs.threshold, float):
            first = len(steps) == 1
            read = replace(
                read, threshold=kwargs.threshold, probabilities=first or read.probabilities
            )
        elif name != "softmax":
            raise CheckpointError(
                f"{source}: SegLite does not know the last step {name!r} of the model."
            )
    return read


def _origin(source: Path, model: Any) -> dict[str, str]:
    authors = ", ".join(str(author.name) for author in model.authors)
    cited = "; ".join(
        f"{entry.text}{f', doi {entry.doi}' if entry.doi else ''}" for entry in model.cite
    )
    return {
        "weights": printable(str(model.name))[:200],
        "authors": printable(authors)[:500],
        "citation": printable(cited)[:1000],
        "licence": str(model.license or "not stated"),
        "file": source.name,
    }
