"""Where pixels lie: sizes, units and places, as far as a file knows them."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seglite.errors import ImageError
from napari_seglite.formats import ImageFile
from napari_seglite.images import Grid, is_size


def test_axes_of_length_share_the_unit_of_x():
    sizes = {"T": 3, "Z": 300, "Y": 0.1, "X": 0.2}
    grid = Grid.of("TZYX", sizes, {"T": "sec", "Z": "nm", "Y": "µm", "X": "um"})
    assert grid.spacing == pytest.approx((3, 0.3, 0.1, 0.2))
    assert grid.units == ("s", "um", "um", "um")
    assert grid.unit == "um"


@pytest.mark.parametrize("size", [0, -1, math.nan, math.inf, 1e300, 1e-300, None])
def test_what_is_no_size_is_unknown(size):
    grid = Grid.of("YX", {"Y": 0.5, "X": size}, "um", {"Y": 2, "X": 3})
    assert (grid.spacing, grid.units, grid.origin) == ((0.5, 1), ("um", "pixel"), (2, 0))
    assert not grid.known
    assert not is_size(size)


def test_a_unit_may_be_missing_for_some_axes():
    grid = Grid.of("ZYX", {"Z": 5, "Y": 0.1, "X": 0.1}, {"Y": "um", "X": "um"})
    assert (grid.spacing, grid.units) == ((5, 0.1, 0.1), ("pixel", "um", "um"))
    grid = Grid.of("ZYX", {"Z": 5, "Y": 300, "X": 2}, {"Z": "um", "Y": "nm"})
    assert grid.spacing == pytest.approx((5000, 300, 2))
    assert grid.units == ("nm", "nm", "pixel")
    grid = Grid.of("ZYX", {"Z": 5, "X": 1, "Y": 1}, None, {"Z": 10})
    assert (grid.spacing, grid.units, grid.origin) == ((5, 1, 1), ("pixel",) * 3, (10, 0, 0))


def test_units_that_cannot_be_converted_stay():
    grid = Grid.of("ZYX", dict.fromkeys("ZYX", 2), {"Z": "s", "Y": "um", "X": "elbow"})
    assert (grid.spacing, grid.units) == ((2, 2, 2), ("s", "um", "elbow"))
    grid = Grid.of("YX", {"Y": 1e99, "X": 1}, {"Y": "m", "X": "pm"})
    assert (grid.spacing, grid.units) == ((1e99, 1), ("m", "pm"))  # too large a number in pm


def test_a_place_that_is_none_is_zero():
    grid = Grid.of("YX", {"Y": 1, "X": 1}, "um", {"Y": math.nan, "X": math.inf})
    assert grid.origin == (0, 0)


def test_impossible_sizes_are_said_and_a_time_of_zero_is_not():
    pixels = np.zeros((2, 4, 4))
    found = ImageFile.from_levels([pixels], "TYX", {"T": 0, "Y": 0, "X": -1}, "um")
    assert found.notices == (
        "The file gives a pixel size of 0 along Y; it is taken as unknown.",
        "The file gives a pixel size of -1 along X; it is taken as unknown.",
    )
    found = ImageFile.from_levels([pixels], "TYX", {"T": math.nan})
    assert found.notices == (
        "The file gives a time of nan between frames; it is taken as unknown.",
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_a_grid_comes_back_from_json(data):
    axes = data.draw(st.sampled_from(["YX", "ZYX", "TZYX"]))
    sizes = {axis: data.draw(st.floats(1e-6, 1e6)) for axis in axes}
    origin = {axis: data.draw(st.floats(-1e6, 1e6)) for axis in axes}
    units = {axis: data.draw(st.sampled_from(["um", "nm", "Å", "s", "elbow", ""])) for axis in axes}
    affine = data.draw(st.sampled_from([None, np.diag([1.0, -2, 3, 1])]))
    grid = Grid.of(axes, sizes, units, origin, affine)
    back = Grid.from_dict(json.loads(json.dumps(grid.as_dict())))
    assert (back.axes, back.spacing, back.units, back.origin) == (
        grid.axes, grid.spacing, grid.units, grid.origin,
    )  # fmt: skip
    if affine is not None:
        np.testing.assert_array_equal(back.affine, affine)


@pytest.mark.parametrize(
    "change",
    [{"spacing": [0, 1]}, {"spacing": [1]}, {"origin": [math.nan, 0]}, {"axes": "QX"},
     {"affine": [[1]]}
    ],
)  # fmt: skip
def test_data_that_are_no_grid_are_refused(change):
    with pytest.raises((ValueError, TypeError, KeyError, ImageError)):
        Grid.from_dict({**Grid("YX").as_dict(), **change})


def test_coarser_pixels_cover_the_finer_ones():
    grid = Grid("YX", (0.5, 0.25), ("um", "um"), (10, 20)).coarser((2, 4))
    assert (grid.spacing, grid.origin) == ((1, 1), (10.25, 20.375))
