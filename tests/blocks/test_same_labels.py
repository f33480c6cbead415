"""Labels that come from blocks are those of one machine, pixel by pixel and number by number."""

import numpy as np
import pytest
import tifffile

from napari_seglite import read_image, segment
from napari_seglite.blocks import Blocks
from napari_seglite.formats import read_labels


@pytest.mark.parametrize("size", [64, 128, 256])
def test_objects_do_not_depend_on_the_blocks(image_path, objects, request_of, tmp_path, size):
    request = request_of(output="instances", min_size=15)
    out = segment(image_path, request, output=tmp_path / "a.zarr", blocks=Blocks(size, overlap=32))
    np.testing.assert_array_equal(read_labels(out), objects)


@pytest.mark.parametrize(
    "settings",
    [
        {"output": "semantic", "min_size": 0},
        {"output": "semantic", "min_size": 200, "fill_holes": 20},
        {"output": "semantic", "min_size": 60, "smooth": 1.5, "rescale": 0.8},
        {"output": "instances", "least_probability": 0.7, "split_depth": 0.2},
    ],
)
def test_every_setting_gives_the_same_pixels(image, image_path, request_of, tmp_path, settings):
    request = request_of(**settings)
    expected = segment(image, request).labels
    assert expected.any()
    out = segment(image_path, request, output=tmp_path / "a.zarr", blocks=Blocks(64, overlap=32))
    np.testing.assert_array_equal(read_labels(out), expected)


@pytest.mark.parametrize("way", ["volume", "slices"])
def test_stacks_are_cut_along_z_too(discs, request_of, tmp_path, way):
    stack = np.stack([np.roll(discs((96, 128), 9), k, 1) for k in range(6)])
    stack = np.stack([stack, stack[::-1]])  # two time points
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "TZYX"})
    assert read_image(tmp_path / "a.ome.tif").axes.order == "TZYX"
    request = request_of("TZYX", output="instances", stack_objects=way, min_size=15)
    expected = segment(stack, request).labels
    blocks = Blocks(64, 4, overlap=32, depth_overlap=2)
    out = segment(tmp_path / "a.ome.tif", request, output=tmp_path / "a.zarr", blocks=blocks)
    np.testing.assert_array_equal(read_labels(out), expected)
    mask = request_of("TZYX", output="semantic", min_size=500)
    expected = segment(stack, mask).labels
    out = segment(tmp_path / "a.ome.tif", mask, output=tmp_path / "b.zarr", blocks=blocks)
    np.testing.assert_array_equal(read_labels(out), expected)


def test_levels_for_viewing_take_every_other_pixel(discs, request_of, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", discs((300, 600), 60))
    request = request_of(output="instances", min_size=15, tile=512)
    out = segment(tmp_path / "a.tif", request, output=tmp_path / "a.zarr", blocks=Blocks(256))
    fine, coarse = (np.asarray(level) for level in read_image(out).levels)
    assert fine.max() > 10
    np.testing.assert_array_equal(coarse, fine[::2, ::2])
