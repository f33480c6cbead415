"""From napari layers to arguments of the engine, and from its results back to layers."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...errors import ImageError
from ...images import Grid, ImageAxes, PixelSize, guess_axes, micrometres
from ..file_layers import facts_of, untouched

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from ...inference import Uncertainty


# Names that users give to axes.
_LETTERS = {
    **dict.fromkeys(("t", "time", "frame"), "T"),
    **dict.fromkeys(("z", "depth", "slice", "plane"), "Z"),
    **dict.fromkeys(("c", "ch", "channel", "channels"), "C"),
    "y": "Y",
    "x": "X",
}
# The key in a layer's metadata.
_CHOICES = "seglite_choices"
Choice = Literal["axes", "channels", "level"]
_KINDS = {"T": "time points", "Z": "slices"}
# Of the width of a typical object, so that a few dabs draw one and a single one corrects its edge.
BRUSH_SHARE = 0.4
SMALLEST_BRUSH, LARGEST_BRUSH, UNKNOWN_BRUSH = 3, 100, 10


def choice(layer: Image, name: Choice) -> Any:
    """Return the axes, channels or level that the user chose for a layer, or None."""
    return layer.metadata.get(_CHOICES, {}).get(name)


def choose(layer: Image, **choices: Any) -> None:
    """Store the user's choices in the layer's metadata.

    Parameters
    ----------
    layer : Image
        The layer.
    **choices
        ``axes``, a str; ``channels``, a tuple of int; ``level``, an int. None undoes a choice.

    Raises
    ------
    ImageError
        If the image has no such axes or channels; nothing is stored then.
    """
    before = layer.metadata
    layer.metadata = {**before, _CHOICES: {**before.get(_CHOICES, {}), **choices}}
    try:
        axes = layer_axes(layer)
        channels = axes.channel_count(pixels(layer).shape)
        if absent := [k for k in choice(layer, "channels") or () if not 0 <= k < channels]:
            raise ImageError(f"{layer.name} has no channel {absent[0]}; it has {channels}, from 0.")
    except ImageError:
        layer.metadata = before
        raise


def pixels(layer: Image) -> Any:
    """Return the array to segment; of a multiscale layer, the chosen level."""
    return layer.data[choice(layer, "level") or 0] if layer.multiscale else layer.data


def layer_axes(layer: Image) -> ImageAxes:
    """Return the axes of an image layer.

    They are chosen by the user, named by the layer, stated by its file, or guessed.

    Raises
    ------
    ImageError
        If the chosen axes do not fit, or none can be guessed; the message names the layer.
    """
    shape = tuple(pixels(layer).shape)
    try:
        if chosen := choice(layer, "axes"):
            axes = ImageAxes(chosen)
            if layer.rgb and chosen[-1] != "C":
                raise ImageError(f"the last axis holds colours, so {chosen} must end in C.")
        else:
            axes = _named_axes(layer) or _stated_axes(layer) or guess_axes(shape, bool(layer.rgb))
        axes.check(shape)
    except ImageError as error:
        raise ImageError(f"{layer.name}: {error}") from error
    return axes


def label_shape(layer: Image) -> tuple[int, ...]:
    """Return the shape of labels for an image layer."""
    return layer_axes(layer).label_shape(tuple(pixels(layer).shape))


def likely_axes(layer: Image) -> list[str]:
    """Return the orders of axes that are plausible for an image layer."""
    colours = "C" * bool(layer.rgb)
    others = pixels(layer).ndim - 2 - len(colours)
    letters = [a for a in "TZC" if a not in colours]
    return [f"{''.join(some)}YX{colours}" for some in permutations(letters, others)]


def _factors(layer: Image) -> np.ndarray:
    """Return the size of a pixel of the chosen level in pixels of the layer, per axis."""
    sizes = np.array(layer.data.shape[: layer.ndim], float)
    return np.asarray(sizes / pixels(layer).shape[: layer.ndim])


def to_world(layer: Image, pixel: np.ndarray) -> np.ndarray:
    """Return the world coordinates of a pixel of `pixels`."""
    factors = _factors(layer)
    return np.asarray(layer.data_to_world(pixel * factors + (factors - 1) / 2))


def from_world(layer: Image, world: np.ndarray) -> np.ndarray:
    """Return the pixel of `pixels` at world coordinates, with fractions."""
    factors = _factors(layer)
    return np.asarray((np.asarray(layer.world_to_data(world)) - (factors - 1) / 2) / factors)


def mirrored_axes(labels: Labels, image: Image | Labels) -> tuple[int, ...]:
    """Return the axes along which labels run against an image, or against other labels.

    So do two files of one volume that store its voxels in different orders.
    """
    from napari.layers import Image

    mine, others = _directions(labels), _directions(image)
    if isinstance(image, Image):
        others = [
            d for d, axis in zip(others, layer_axes(image).order, strict=False) if axis != "C"
        ]
    if len(mine) != len(others):
        return ()
    return tuple(k for k, (a, b) in enumerate(zip(mine, others, strict=True)) if a * b < 0)


def _directions(layer: Image | Labels) -> list[float]:
    """Return how far a layer's axes lead along the world's, per pixel."""
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    return [
        float((layer.data_to_world(step) - origin)[k]) for k, step in enumerate(np.eye(layer.ndim))
    ]


def pixel_size(layer: Image) -> PixelSize | None:
    """Return height and width in micrometres of a pixel of `pixels`, or None if unknown."""
    order = layer_axes(layer).order
    where = [order.index(axis) for axis in "YX"]
    facts = facts_of(layer) if untouched(layer) else None
    if facts is not None and facts.size is not None:
        height, width = (s * f for s, f in zip(facts.size, _factors(layer)[where], strict=True))
        return float(height), float(width)
    if len({str(layer.units[k]) for k in where}) > 1:
        return None
    sizes = np.asarray(layer.scale, float) * _factors(layer)
    return micrometres([sizes[k] for k in where], layer.units[where[0]])


def slice_distance(layer: Image) -> float | None:
    """Return the distance of slices of `pixels`, see `slice_spacing`; None if unknown."""
    from ...inference import slice_spacing

    axes, facts = layer_axes(layer).order, facts_of(layer) if untouched(layer) else None
    placed = facts.placement if facts is not None else {}
    sizes = np.asarray(placed.get("scale", layer.scale), float) * _factors(layer)
    units = [str(unit) for unit in placed.get("units", layer.units)]
    where = {axis: axes.index(axis) for axis in "ZYX" if axis in axes}
    return slice_spacing(
        Grid.of(
            "".join(where),
            {axis: abs(float(sizes[k])) for axis, k in where.items()},
            {axis: units[k] for axis, k in where.items()},
        )
    )


def letter(name: Any) -> str:
    """Return the letter of an axis by its name, or an empty string for unknown names."""
    return _LETTERS.get(str(name).lower(), "")


def _named_axes(layer: Image) -> ImageAxes | None:
    """Return the axes that a layer's axis labels name, or None if they do not name them all.

    Where only the first axis of a stack is named, the others are Y and X.
    """
    letters = [letter(name) for name in layer.axis_labels]
    if letters[-2:] == ["", ""]:
        letters[-2:] = ["Y", "X"]
    if not all(letters) or len(set(letters)) < len(letters) or not {"Y", "X"} <= set(letters):
        return None
    if layer.rgb and "C" in letters:
        return None
    return ImageAxes("".join(letters) + "C" * bool(layer.rgb))


def _stated_axes(layer: Image) -> ImageAxes | None:
    """Return the axes that the file of a layer states, if all have a meaning."""
    facts = facts_of(layer)
    if facts is None or "?" in facts.layer_axes or (layer.rgb and facts.layer_axes[-1] != "C"):
        return None
    return ImageAxes(facts.layer_axes)


def file_of(layer: Image) -> str:
    """Return the file of a layer, or else a name for it."""
    return str(layer.source.path or f"{layer.name}.tif")


def axes_in_file(layer: Image, axes: str) -> str:
    """Return axes of a layer's pixels in the order of its file, which can be another one."""
    facts = facts_of(layer)
    return axes if facts is None else facts.in_file(axes)


def is_stack(layer: Image | None) -> bool:
    """Whether a layer can be segmented slice by slice."""
    try:
        return layer is not None and layer_axes(layer).stacked
    except ImageError:
        return False


def describe_layer(layer: Image) -> str:
    """Return a line about an image layer: frames, channels, size and dtype."""
    try:
        axes = layer_axes(layer)
    except ImageError as error:
        return str(error)
    shape = tuple(pixels(layer).shape)
    height, width = axes.frame_shape(shape)
    parts = [
        f"{count} {_KINDS[axis]}"
        for axis, count in zip(axes.stack, axes.stack_shape(shape), strict=True)
    ]
    if "C" not in axes.order:
        colours = "grey"
    else:
        colours = "RGB" if layer.rgb else f"{axes.channel_count(shape)} channels"
    return ", ".join([*(parts or ["2-D"]), colours, f"{width} × {height}", str(layer.dtype)])


def current_frame(viewer: ViewerModel, layer: Image) -> int:
    """Return the number of the frame of a stack that the viewer shows."""
    axes, shape = layer_axes(layer), tuple(pixels(layer).shape)
    position = from_world(layer, np.asarray(viewer.dims.point)[-layer.ndim :])
    place = [round(float(position[axes.order.index(axis)])) for axis in axes.stack]
    sizes = axes.stack_shape(shape)
    return int(np.ravel_multi_index(np.clip(place, 0, np.array(sizes) - 1).tolist(), sizes))


def show_frame(
    viewer: ViewerModel, layer: Image, frame: int, box: tuple[int, int, int, int] | None = None
) -> None:
    """Let the viewer show a frame of a stack.

    Parameters
    ----------
    viewer, layer : ViewerModel, Image
        The viewer, and an image in it.
    frame : int
        Number of the frame.
    box : tuple of int, optional
        ``(top, left, bottom, right)`` in pixels: the part of the frame to move to the middle.
    """
    axes, shape = layer_axes(layer), tuple(pixels(layer).shape)
    place: dict[str, Any] = dict(
        zip(axes.stack, np.unravel_index(frame, axes.stack_shape(shape) or (1,)), strict=False)
    )
    height, width = axes.frame_shape(shape)
    top, left, bottom, right = box or (0, 0, height, width)
    middle = {"Y": (top + bottom - 1) / 2, "X": (left + right - 1) / 2, **place}
    pixel = [float(middle.get(axis, 0)) for axis in axes.order]
    world = to_world(layer, np.array(pixel[: layer.ndim]))
    offset = viewer.dims.ndim - layer.ndim
    for axis in axes.stack:
        k = axes.order.index(axis)
        viewer.dims.set_point(offset + k, world[k])
    if (bottom - top, right - left) != (height, width):
        displayed = [k - offset for k in viewer.dims.displayed]
        viewer.camera.center = tuple(world[k] for k in displayed)


def add_labels(
    viewer: ViewerModel,
    layer: Image,
    name: str,
    labels: np.ndarray,
    recipe: dict[str, Any],
    width: float | None = None,
) -> Labels:
    """Add labels that lie exactly on an image layer, selected and with the brush ready.

    Parameters
    ----------
    viewer, layer : ViewerModel, Image
        The viewer, and the image in it.
    name : str
        Of the new layer.
    labels : array
        Of the image's shape, without channels.
    recipe : dict
        Stored in the layer's metadata: how the labels were made.
    width : float, optional
        Of a typical object in pixels; the brush is somewhat smaller.
    """
    added = viewer.add_labels(
        labels,
        name=name,
        opacity=0.5,
        metadata={"seglite": recipe, "seglite_image": layer.name},
        **placement(layer, layer_axes(layer)),
    )
    viewer.layers.selection.active = added
    added.selected_label = 1
    brush = UNKNOWN_BRUSH if width is None else round(BRUSH_SHARE * width)
    added.brush_size = min(max(brush, SMALLEST_BRUSH), LARGEST_BRUSH)
    added.mode = "paint"
    return added


def add_uncertainty(viewer: ViewerModel, layer: Image, name: str, uncertainty: Uncertainty) -> None:
    """Show uncertainty over an image layer, in the layer of that name if there is one.

    Parameters
    ----------
    viewer, layer : ViewerModel, Image
        The viewer, and the image in it.
    name : str
        Of the layer that shows it.
    uncertainty : Uncertainty
        Its values, 0 to 1, and the mean of every frame.
    """
    before = [other for other in viewer.layers if other.name == name]
    if before and before[0].data.shape == uncertainty.values.shape:
        before[0].data = uncertainty.values
        before[0].metadata = {"seglite_scores": uncertainty.scores}
        return
    active = viewer.layers.selection.active
    viewer.add_image(
        uncertainty.values,
        name=name,
        colormap="magma",
        blending="additive",
        contrast_limits=(0, 1),
        opacity=0.7,
        metadata={"seglite_scores": uncertainty.scores},
        **placement(layer, layer_axes(layer)),
    )
    viewer.layers.selection.active = active  # the labels, with the brush ready


def placement(layer: Image, axes: ImageAxes) -> dict[str, Any]:
    """Return the arguments of ``add_labels`` that place labels without channels on an image."""
    if not layer.multiscale and (layer.rgb or "C" not in axes.order):
        names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
        return {name: getattr(layer, name) for name in names}
    spatial = [k for k, axis in enumerate(axes.order) if axis != "C"]
    origin = to_world(layer, np.zeros(layer.ndim))
    matrix = np.eye(len(spatial) + 1)
    matrix[:-1, -1] = origin[spatial]
    for column, k in enumerate(spatial):
        step = to_world(layer, np.eye(layer.ndim)[k]) - origin
        matrix[:-1, column] = step[spatial]
    placed: dict[str, Any] = {
        "units": tuple(layer.units[k] for k in spatial),
        "axis_labels": tuple(layer.axis_labels[k] for k in spatial),
    }
    if np.count_nonzero(matrix[:-1, :-1] - np.diag(np.diag(matrix[:-1, :-1]))):
        return {**placed, "affine": matrix}
    return {**placed, "scale": np.diag(matrix)[:-1], "translate": matrix[:-1, -1]}
