"""Labels of any shape, axes, type, size and place come back from every format that is written."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_seglite.formats import read_image, read_label_file, read_recipe, write_labels
from napari_seglite.formats.registry import FORMATS
from napari_seglite.images import Grid, convert

WRITABLE = [kind for kind in FORMATS if kind.write is not None]
LENGTHS = ("pixel", "um", "nm", "mm", "Å", "pm", "m", "in", "furlong")
TIMES = ("pixel", "s", "ms", "min", "h", "a")
ORDERS = ("YX", "ZYX", "TYX", "TZYX", "XY", "XYZ", "ZTYX")


RECIPES = st.dictionaries(
    st.text(max_size=5), st.none() | st.integers(0, 2**40) | st.text(), max_size=3
)


@dataclass(frozen=True)
class Kept:
    """What a format keeps of labels.

    Attributes
    ----------
    orders : tuple of str
        Orders of axes that come back as they were.
    dtypes : tuple of str
        Types that it can store.
    smallest, largest : float
        Sizes of a pixel, in micrometres or seconds, between which they are kept.
    relative : float
        Precision of sizes.
    single : bool
        Whether every axis has a size, even where X is unknown; otherwise all three are known.
    origin, affine, time : bool
        Whether it keeps the place of the first pixel, an affine, and the time between frames.
    source : bool
        Whether the image is needed to write labels, or the format's own tests say what it keeps.
    exact : bool
        Whether the type stays; otherwise it becomes as small as the labels allow.
    """

    orders: tuple[str, ...] = ORDERS
    dtypes: tuple[str, ...] = ("uint8", "uint16", "uint32")
    smallest: float = 1e-6
    largest: float = 1e6
    relative: float = 1e-9
    single: bool = True
    origin: bool = True
    affine: bool = False
    time: bool = True
    source: bool = False
    exact: bool = True


# What is not here keeps everything but affines.
KEPT = {
    "NIfTI": Kept(
        orders=("YX", "ZYX", "TZYX"), smallest=1e-3, largest=1e5, relative=1e-5,
        single=False, affine=True, origin=False, exact=False,
    ),
    "DICOM SEG": Kept(source=True),
    "DICOM": Kept(source=True),
    # They state millimetres, and no time.
    "NRRD": Kept(source=True),
    "MetaImage": Kept(source=True),
}  # fmt: skip


@st.composite
def labels_on_a_grid(draw, kept):
    """Draw labels with their grid."""
    axes = draw(st.sampled_from(kept.orders))
    shape = tuple(draw(st.sampled_from((2, 3, 1, 17) if a in "YX" else (2, 3))) for a in axes)
    dtype = np.dtype(draw(st.sampled_from(kept.dtypes)))
    highest = draw(st.sampled_from((1, 255, int(np.iinfo(dtype).max))))
    seed = draw(st.integers(0, 2**32 - 1))
    labels = np.random.default_rng(seed).integers(0, highest, shape, dtype, endpoint=True)
    labels.flat[-1] = min(highest, np.iinfo(dtype).max)
    same = draw(st.sampled_from(LENGTHS))
    sizes, units, origin = {}, {}, {}
    for axis in axes:
        unit = draw(st.sampled_from(TIMES if axis == "T" else LENGTHS))
        units[axis] = unit if kept.single or axis == "T" else same
        low, high = np.log10([kept.smallest, kept.largest])
        sizes[axis] = 10 ** draw(st.floats(low, high))
        if units[axis] == "pixel":
            sizes[axis] = 1.0
        else:
            sizes[axis] *= convert(1.0, "s" if axis == "T" else "um", units[axis])
            origin[axis] = draw(st.floats(-1e6, 1e6)) if kept.origin else 0.0
    if axes and "T" in axes and not kept.time:
        sizes["T"], units["T"] = 1.0, "pixel"
        origin.pop("T", None)
    return labels, Grid.of(axes, sizes, units, origin)


def same_unit(value, unit, other):
    """Return a value in another unit; as it is where both are unknown."""
    return value if unit == other else convert(value, unit, other)


@pytest.mark.parametrize("kind", WRITABLE, ids=lambda kind: kind.name)
@settings(
    max_examples=40, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(data=st.data())
def test_labels_come_back(kind, tmp_path, data):
    kept = KEPT.get(kind.name, Kept())
    if kept.source:
        pytest.skip("this format keeps less, or needs an image; its own tests write it")
    labels, grid = data.draw(labels_on_a_grid(kept))
    recipe = data.draw(RECIPES) or {"checkpoint": "µ"}
    if kept.affine:
        grid = Grid(grid.axes, grid.spacing, grid.units, grid.origin, affine_of(grid, data))
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    path = folder / f"a.b_labels{kind.suffixes[0]}"
    try:
        write_labels(path, labels, recipe=recipe, grid=grid)
        found, read = read_image(path), read_label_file(path)
        assert [p.name for p in folder.iterdir()] == [path.name]
        check_pixels(found, labels, grid, kept.exact)
        np.testing.assert_array_equal(np.asarray(read.array), np.asarray(found.array))
        check_grid(found, grid, kept)
        assert read_recipe(path) == recipe
    finally:
        shutil.rmtree(folder)


def check_pixels(found, labels, grid, exact):
    """Axes of one entry other than Y and X may be gone."""
    assert set("YX") <= set(found.axes.order) <= set(grid.axes)
    gone = tuple(k for k, axis in enumerate(grid.axes) if axis not in found.axes.order)
    np.testing.assert_array_equal(np.asarray(found.array), labels.squeeze(gone))
    assert found.axes.order == "".join(a for a in grid.axes if a in found.axes.order)
    assert not exact or found.array.dtype == labels.dtype


def check_grid(found, grid, kept):
    for k, axis in enumerate(found.axes.labels):
        at = grid.axes.index(axis)
        assert (found.units[k] == "pixel") == (grid.units[at] == "pixel")
        size = same_unit(found.spacing[k], found.units[k], grid.units[at])
        assert size == pytest.approx(grid.spacing[at], rel=kept.relative)
        if kept.origin:
            place = same_unit(found.grid.origin[k], found.units[k], grid.units[at])
            assert place == pytest.approx(grid.origin[at], rel=1e-9, abs=1e-12 * grid.spacing[at])
    if kept.affine and grid.affine is not None:
        np.testing.assert_allclose(found.grid.affine, grid.affine, rtol=1e-5, atol=1e-4)


def affine_of(grid, data):
    """Draw an affine that fits the sizes of a grid: axes swapped or flipped, and a place."""
    if grid.unit == "pixel" or "Z" not in grid.axes:
        return None
    sizes = [convert(grid.size(axis), grid.unit, "mm") for axis in "XYZ"]
    affine = np.eye(4)
    order = data.draw(st.permutations(range(3)))
    signs = data.draw(st.tuples(*[st.sampled_from((-1, 1))] * 3))
    affine[:3, :3] = 0
    for column, row in enumerate(order):
        affine[row, column] = signs[column] * sizes[column]
    affine[:3, 3] = data.draw(st.tuples(*[st.integers(-500, 500)] * 3))
    return affine
