"""Files of microscope manufacturers: their images, axes, spacing and channels."""

import numpy as np
import pytest
from makers import position_loop, time_loop, write_lif, write_nd2, z_loop

from napari_seglite.errors import ImageError
from napari_seglite.formats import list_scenes, read_image


@pytest.fixture
def nd2():
    return pytest.importorskip("nd2", reason="nd2 is not installed")


@pytest.fixture
def lif():
    return pytest.importorskip("liffile", reason="liffile is not installed")


@pytest.fixture
def czi():
    return pytest.importorskip("pylibCZIrw.czi", reason="pylibCZIrw is not installed")


def frames(*shape):
    return np.random.default_rng(0).integers(0, 4000, shape, np.uint16)


def test_nd2_positions_are_images_and_channels_stay_channels(tmp_path, nd2):
    pixels = frames(2 * 3 * 2, 12, 16, 2)
    loops = [time_loop(2, 1500.0), position_loop(["left", "middle", "right"]), z_loop(2, 0.75)]
    write_nd2(tmp_path / "a.nd2", pixels, loops, ("DAPI", "GFP"))
    assert list_scenes(tmp_path / "a.nd2") == ("left", "middle", "right")
    image = read_image(tmp_path / "a.nd2", "middle")
    assert image.axes.order == "TZCYX"
    expected = pixels.reshape(2, 3, 2, 12, 16, 2)[:, 1].transpose(0, 1, 4, 2, 3)
    np.testing.assert_array_equal(image.array, expected)
    assert image.spacing == (1500, 0.75, 0.25, 0.25)
    assert image.units == ("ms", "um", "um", "um")
    assert image.channels == ("DAPI", "GFP")
    first = read_image(tmp_path / "a.nd2")
    assert "image 1 of 3" in first.notices[0]
    np.testing.assert_array_equal(read_image(tmp_path / "a.nd2#1").array, first.array)


def test_nd2_with_missing_frames_is_refused(tmp_path, nd2):
    write_nd2(tmp_path / "a.nd2", frames(3, 12, 16, 1), [time_loop(3, 10.0)], drop=[1])
    with pytest.raises(ImageError, match=r"1 of its 3 frames .* first is number 2"):
        read_image(tmp_path / "a.nd2")


def test_large_nd2_is_read_frame_by_frame(tmp_path, nd2, monkeypatch):
    from napari_seglite.formats import nd2 as reader

    monkeypatch.setattr(reader, "LAZY_BYTES", 100)
    pixels = frames(3, 12, 16, 1)
    write_nd2(tmp_path / "a.nd2", pixels, [time_loop(3, 10.0)])
    image = read_image(tmp_path / "a.nd2")
    assert not isinstance(image.array, np.ndarray)
    np.testing.assert_array_equal(image.axes.frame(image.array, 2)[0], pixels[2, ..., 0])


def test_lif_images_have_names_and_axes_of_their_own(tmp_path, lif):
    flat, stack = frames(12, 16), frames(2, 3, 2, 12, 16)
    write_lif(
        tmp_path / "a.lif",
        [
            ("overview", flat, "YX", {"X": 2e-6, "Y": 1e-6}),
            ("cells", stack, "TZCYX", {"X": 1e-7, "Y": 1e-7, "Z": 5e-7, "T": 3.0}),
        ],
    )
    assert list_scenes(tmp_path / "a.lif") == ("overview", "cells")
    overview = read_image(tmp_path / "a.lif", 1)
    np.testing.assert_array_equal(overview.array, flat)
    assert overview.spacing == pytest.approx((1, 2))
    cells = read_image(tmp_path / "a.lif", "cells")
    np.testing.assert_array_equal(cells.array, stack)
    assert cells.axes.order == "TZCYX"
    assert cells.spacing == pytest.approx((3, 0.5, 0.1, 0.1))
    assert cells.units == ("s", "um", "um", "um")
    assert cells.channels == ("DAPI", "GFP")


def test_lif_mosaic_positions_are_images_and_unknown_axes_are_said(tmp_path, lif):
    mosaic, turned = frames(3, 2, 12, 16), frames(4, 12, 16)
    write_lif(tmp_path / "a.lif", [("m", mosaic, "MZYX", {}), ("r", turned, "AYX", {})])
    assert list_scenes(tmp_path / "a.lif")[1:] == ("m, position 2", "m, position 3", "r")
    second = read_image(tmp_path / "a.lif", 2)
    assert second.axes.order == "ZYX"
    np.testing.assert_array_equal(second.array, mosaic[1])
    rotated = read_image(tmp_path / "a.lif", "r")
    assert (rotated.axes.order, rotated.guesses) == ("ZYX", ("axes",))
    assert "axis A of 4 entries is taken for slices" in rotated.notices[0]


def test_cut_lif_is_refused(tmp_path, lif):
    write_lif(tmp_path / "a.lif", [("a", frames(3, 12, 16), "ZYX", {})])
    data = (tmp_path / "a.lif").read_bytes()
    (tmp_path / "a.lif").write_bytes(data[:-500])
    with pytest.raises(ImageError, match=r"a\.lif"):
        read_image(tmp_path / "a.lif")


def write_czi(path, czi, planes, **metadata):
    """Write planes: pixels, indices, scene, and place of the corner."""
    with czi.create_czi(str(path)) as file:
        for pixels, plane, scene, corner in planes:
            file.write(pixels, plane=plane, scene=scene, location=corner)
        file.write_metadata("a", **metadata)


def test_czi_scenes_are_images_where_they_lie(tmp_path, czi):
    pixels = frames(2, 2, 20, 30, 1)
    planes = [(pixels[s, c], {"C": c}, s, (40_000 * s, 70)) for s in range(2) for c in range(2)]
    names = {0: "DAPI", 1: "GFP"}
    write_czi(tmp_path / "a.czi", czi, planes, channel_names=names, scale_x=0.5e-6, scale_y=0.25e-6)
    assert list_scenes(tmp_path / "a.czi") == ("scene 1", "scene 2")
    image = read_image(tmp_path / "a.czi", 2)
    assert image.axes.order == "CYX"
    np.testing.assert_array_equal(image.array, pixels[1, ..., 0])
    assert image.spacing == pytest.approx((0.25, 0.5))
    assert image.grid.origin == pytest.approx((17.5, 20_000))
    assert image.channels == ("DAPI", "GFP")


def test_czi_time_may_start_anywhere(tmp_path, czi):
    pixels = frames(2, 20, 30, 1)
    planes = [(pixels[k], {"T": 3 + k, "Z": 5}, 0, (0, 0)) for k in range(2)]
    write_czi(tmp_path / "a.czi", czi, planes)
    image = read_image(tmp_path / "a.czi")
    assert image.axes.order == "TYX"
    np.testing.assert_array_equal(image.array, pixels[..., 0])


def test_czi_with_a_missing_plane_is_refused(tmp_path, czi):
    pixels = frames(20, 30, 1)
    planes = [(pixels, {"T": t, "Z": z}, 0, (0, 0)) for t in (0, 1) for z in (0, 1)]
    write_czi(tmp_path / "a.czi", czi, planes[:-2] + planes[-1:])
    with pytest.raises(ImageError, match=r"1 of its 4 planes .* T1 Z0"):
        read_image(tmp_path / "a.czi")


def test_czi_colours_are_red_green_blue(tmp_path, czi):
    stored = frames(20, 30, 3).astype(np.uint8)  # blue first
    write_czi(tmp_path / "a.czi", czi, [(stored, {}, 0, (0, 0))])
    image = read_image(tmp_path / "a.czi")
    assert (image.axes.order, image.rgb) == ("YXC", True)
    np.testing.assert_array_equal(image.array, stored[..., ::-1])


def test_large_czi_is_read_piece_by_piece(tmp_path, czi, monkeypatch):
    from napari_seglite.formats import czi as reader

    monkeypatch.setattr(reader, "LAZY_BYTES", 100)
    monkeypatch.setattr(reader, "_PIECE", 16)
    pixels = frames(2, 20, 30, 1)
    write_czi(tmp_path / "a.czi", czi, [(pixels[z], {"Z": z}, 0, (-7, 5)) for z in range(2)])
    image = read_image(tmp_path / "a.czi")
    assert not isinstance(image.array, np.ndarray)
    np.testing.assert_array_equal(np.asarray(image.array), pixels[..., 0])
