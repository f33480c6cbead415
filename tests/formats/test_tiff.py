"""TIFFs of other programs, read as they are meant, and labels written so that nothing is lost."""

import shutil
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import write_micromanager
from PIL import Image
from skimage.color import rgb2lab

from napari_seglite.errors import ImageError
from napari_seglite.formats import (
    list_scenes,
    read_image,
    read_label_file,
    read_labels,
    read_recipe,
    tiff,
    tiff_write,
    write_labels,
)
from napari_seglite.images import Grid


@pytest.fixture
def pixels():
    """Return an image uint8 (60, 72) that no turn or mirror leaves as it is."""
    rows, columns = np.mgrid[:60, :72]
    return (rows * 2 + columns // 2 + (rows > 30) * 40).astype(np.uint8)


@pytest.fixture
def stack(pixels):
    return np.stack([pixels, pixels[::-1], pixels[:, ::-1]])


@pytest.fixture
def lazily(monkeypatch):
    """Read every TIFF piece by piece."""
    monkeypatch.setattr(tiff, "LAZY_BYTES", 100)


def ome(path, data, **metadata):
    tifffile.imwrite(path, data, photometric="minisblack", metadata=metadata)
    return path


def document(planes, tiff_data='<TiffData IFD="0" PlaneCount="2"/>', before="", more=""):
    """Return OME metadata of slices of 60 x 72 pixels."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{before}'
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{more}>'
        '<Image ID="Image:0" Name="m"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
        f'SizeX="72" SizeY="60" SizeC="1" SizeZ="{planes}" SizeT="1">'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{tiff_data}</Pixels></Image></OME>'
    )


def described(path, data, description):
    tifffile.imwrite(path, data, photometric="minisblack", metadata=None, description=description)
    return path


# Calibration


@pytest.mark.parametrize(
    ("sizes", "spacing", "units"),
    [
        ({"PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 200.0,
          "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 300.0, "PhysicalSizeZUnit": "nm"},
         (0.3, 0.2, 0.1), "um"),
        ({"PhysicalSizeX": 2.5, "PhysicalSizeXUnit": "Å", "PhysicalSizeY": 5.0,
          "PhysicalSizeYUnit": "Å"}, (1, 5, 2.5), "Å"),
        ({"PhysicalSizeX": 2.5, "PhysicalSizeXUnit": "reference frame", "PhysicalSizeY": 5.0,
          "PhysicalSizeYUnit": "reference frame"}, (1, 5, 2.5), "reference frame"),
        ({"PhysicalSizeX": 2.5, "PhysicalSizeY": 5.0}, (1, 5, 2.5), "um"),
    ],
)  # fmt: skip
def test_ome_states_a_unit_for_every_axis(tmp_path, stack, sizes, spacing, units):
    image = read_image(ome(tmp_path / "a.ome.tif", stack, axes="ZYX", **sizes))
    assert image.spacing == pytest.approx(spacing)
    assert image.unit == units


def test_time_between_frames(tmp_path, stack):
    path = tmp_path / "a.ome.tif"
    image = read_image(ome(path, stack, axes="TYX", TimeIncrement=250, TimeIncrementUnit="ms"))
    assert (image.spacing[0], image.units[0]) == (250, "ms")
    image = read_image(ome(path, stack, axes="TYX", Plane={"DeltaT": [0, 2.5, 5]}))
    assert (image.spacing[0], image.units[0]) == (2.5, "s")
    image = read_image(ome(path, stack, axes="TYX", Plane={"DeltaT": [0, 1, 5]}))
    assert (image.spacing[0], image.units[0]) == (1, "pixel")
    assert "varies from 1 to 4" in image.notices[0]


def test_imagej_states_a_unit_for_every_axis(tmp_path, pixels):
    metadata = {
        "axes": "TZYX", "spacing": 300, "unit": "\\u00B5m", "zunit": "nm", "finterval": 3.5,
        "tunit": "min", "xorigin": 4, "yorigin": -2,
    }  # fmt: skip
    data = np.stack([pixels] * 6).reshape(2, 3, 60, 72)
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, resolution=(10, 5), metadata=metadata)
    image = read_image(tmp_path / "a.tif")
    assert image.axes.order == "TZYX"
    assert image.spacing == pytest.approx((3.5, 0.3, 0.2, 0.1))
    assert image.units == ("min", "um", "um", "um")
    assert image.grid.origin == pytest.approx((0, 0, 0.4, -0.4))


def test_channels_have_names(tmp_path, pixels):
    data = np.stack([pixels] * 4).reshape(2, 2, 60, 72)
    names = [f"c:{c}/2 z:{z}/2 - {name}" for z in (1, 2) for c, name in ((1, "DAPI"), (2, "GFP"))]
    tifffile.imwrite(
        tmp_path / "a.tif", data, imagej=True, metadata={"axes": "ZCYX", "Labels": names}
    )
    assert read_image(tmp_path / "a.tif").channels == ("DAPI", "GFP")
    path = ome(tmp_path / "a.ome.tif", data, axes="ZCYX", Channel={"Name": ["DAPI", "GFP"]})
    assert read_image(path).channels == ("DAPI", "GFP")


@pytest.mark.parametrize(
    ("unit", "spacing", "named"),
    [("CENTIMETER", (0.5, 0.25), "um"), ("INCH", (1, 1), "pixel"), ("NONE", (1, 1), "pixel")],
)
def test_a_resolution_per_centimetre_is_a_calibration(tmp_path, pixels, unit, spacing, named):
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, resolution=(4e4, 2e4), resolutionunit=unit, metadata=None
    )
    image = read_image(tmp_path / "a.tif")
    assert (image.spacing, image.unit) == (spacing, named)


@pytest.mark.parametrize("size", ["0", "-2", "NaN", "INF", "1e400"])
def test_an_impossible_pixel_size_is_unknown_and_said(tmp_path, stack, size):
    text = document(2).replace("SizeT", f'PhysicalSizeX="{size}" SizeT')
    image = read_image(described(tmp_path / "a.ome.tif", stack[:2], text))
    assert image.spacing == (1, 1, 1)
    assert "along X; it is taken as unknown" in image.notices[0]


def test_a_laser_scanning_microscope_file(tmp_path, stack):
    info = np.zeros(400, np.uint8).tobytes()
    info = bytearray(info)
    struct.pack_into("<10i", info, 0, 67127628, 400, 72, 60, 3, 1, 1, 1, 72, 60)
    struct.pack_into("<3d", info, 40, 1e-7, 2e-7, 3e-7)
    with tifffile.TiffWriter(tmp_path / "a.lsm") as file:
        for k, plane in enumerate(stack):
            tag = [(34412, 1, len(info), bytes(info), True)] if k == 0 else []
            file.write(plane, metadata=None, extratags=tag)
            file.write(plane[::2, ::2], metadata=None, subfiletype=1)
    image = read_image(tmp_path / "a.lsm")
    np.testing.assert_array_equal(image.array, stack)
    assert image.axes.order == "ZYX"
    assert image.scenes == ()  # thumbnails are no images
    assert image.spacing == pytest.approx((0.3, 0.2, 0.1))


# What the pixels mean


@pytest.mark.parametrize("layout", ["contig", "separate"])
def test_four_channels_stay_four_and_declared_alpha_goes(tmp_path, stack, pixels, layout):
    four = np.stack([*stack, pixels // 3])
    stored = np.moveaxis(four, 0, -1) if layout == "contig" else four
    path, order = tmp_path / "a.tif", "YXC" if layout == "contig" else "CYX"
    options = {"planarconfig": layout, "metadata": None}
    tifffile.imwrite(path, stored, photometric="minisblack", **options)
    image = read_image(path)
    assert (image.axes.order, image.rgb, image.notices) == (order, False, ())
    np.testing.assert_array_equal(image.array, stored)
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["unspecified"], **options)
    np.testing.assert_array_equal(read_image(path).array, stored)
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["unassalpha"], **options)
    if layout == "separate":  # a stack of four slices is written so by programs that guess
        np.testing.assert_array_equal(read_image(path).array, stored)
        return
    image = read_image(path)
    assert (image.axes.order, image.rgb) == (order, True)
    np.testing.assert_array_equal(np.moveaxis(image.array, order.index("C"), 0), stack)
    assert "transparency" in image.notices[0]
    stored = stored.copy()
    stored[(..., 3) if layout == "contig" else 3] = 255
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["unassalpha"], **options)
    assert read_image(path).notices == ()


def test_white_is_zero_and_palettes_come_as_displayed(tmp_path, stack):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, 255 - stack, photometric="miniswhite")
    image = read_image(path)
    np.testing.assert_array_equal(image.array, stack)
    assert "0 is white" in image.notices[0]
    palette = np.zeros((3, 256), np.uint16)
    palette[:] = np.arange(256)[::-1] * 257
    tifffile.imwrite(path, 255 - stack, photometric="palette", colormap=palette)
    image = read_image(path)
    np.testing.assert_array_equal(image.array, stack)
    assert "grey values" in image.notices[0]
    palette[1] = 7 * 257
    tifffile.imwrite(path, 255 - stack, photometric="palette", colormap=palette)
    image = read_image(path)
    assert (image.axes.order, image.rgb) == ("ZYXC", True)
    np.testing.assert_array_equal(image.array[..., 0], stack)
    assert (image.array[..., 1] == 7).all()
    np.testing.assert_array_equal(read_labels(path), 255 - stack)


def test_intensities_that_imagej_shows_in_colours_stay_intensities(tmp_path, stack):
    green = np.zeros((3, 256), np.uint16)
    green[1] = np.arange(256) * 257
    tifffile.imwrite(
        tmp_path / "a.tif", stack, imagej=True, colormap=green, metadata={"axes": "ZYX"}
    )
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.array, stack)
    assert "its intensities are read" in image.notices[0]


def test_masks_drawn_black_on_white(tmp_path, pixels):
    mask = pixels > 100
    tifffile.imwrite(tmp_path / "a.tif", np.where(mask, 0, 255).astype(np.uint8), photometric=0)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif") > 0, mask)
    # Numbers of objects are numbers, however they are displayed.
    tifffile.imwrite(tmp_path / "b.tif", pixels, photometric="miniswhite")
    labels = read_label_file(tmp_path / "b.tif")
    np.testing.assert_array_equal(labels.array, pixels)
    assert "its numbers are taken" in labels.notices[0]
    # ImageJ's masks are foreground where they are not 0.
    tifffile.imwrite(
        tmp_path / "c.tif", mask.astype(np.uint8) * 255, photometric="miniswhite", metadata=None,
        description="ImageJ=1.54f\n",
    )  # fmt: skip
    np.testing.assert_array_equal(read_labels(tmp_path / "c.tif") > 0, mask)
    for compression in (None, "group4"):
        Image.fromarray(mask).save(tmp_path / "d.tif", compression=compression)
        np.testing.assert_array_equal(read_labels(tmp_path / "d.tif"), mask)


@pytest.fixture
def smooth():
    """Return a picture (60, 72, 3) whose colours change slowly."""
    rows, columns = np.mgrid[:60, :72]
    return np.stack([rows * 4, columns * 3, 255 - rows - columns], -1).astype(np.uint8)


def test_inks_and_other_colour_spaces_become_red_green_blue(tmp_path, smooth):
    path = tmp_path / "a.tif"
    picture = Image.fromarray(smooth)
    picture.convert("CMYK").save(path)
    image = read_image(path)
    assert (image.axes.order, image.rgb) == ("YXC", True)
    np.testing.assert_allclose(image.array, smooth, atol=2)
    values = np.asarray(picture.convert("YCbCr"))
    tifffile.imwrite(path, values, photometric="ycbcr", subsampling=(1, 1), metadata=None)
    np.testing.assert_allclose(read_image(path).array, smooth, atol=3)
    lab = rgb2lab(smooth) * (2.55, 1, 1)
    lab = lab.round().astype(np.int16).astype(np.uint8)
    tifffile.imwrite(path, lab, photometric="cielab", metadata=None)
    assert np.abs(read_image(path).array.astype(int) - smooth).mean() < 2
    tifffile.imwrite(path, smooth, photometric="rgb", tile=(32, 32), compression="jpeg")
    assert np.abs(read_image(path).array.astype(int) - smooth).mean() < 4


def test_colours_of_fewer_pixels_than_the_picture(tmp_path, smooth):
    path = tmp_path / "a.tif"
    values = np.asarray(Image.fromarray(smooth).convert("YCbCr"))
    tifffile.imwrite(
        path, values, photometric="ycbcr", subsampling=(1, 1), metadata=None, rowsperstrip=60
    )
    light = values[..., 0].reshape(30, 2, 36, 2).transpose(0, 2, 1, 3).reshape(30, 36, 4)
    units = np.concatenate([light, values[::2, ::2, 1:]], -1).astype(np.uint8).tobytes()
    with tifffile.TiffFile(path) as file:
        tags, start = file.pages.first.tags, file.pages.first.dataoffsets[0]
        count, sampling = tags["StripByteCounts"].offset, tags["YCbCrSubSampling"].offset
    data = bytearray(path.read_bytes())
    data[start : start + len(units)] = units
    struct.pack_into("<I", data, count + 8, len(units))
    struct.pack_into("<HH", data, sampling + 8, 2, 2)
    path.write_bytes(data)
    image = read_image(path)
    assert (image.axes.order, image.rgb) == ("YXC", True)
    assert np.abs(image.array.astype(int) - smooth).mean() < 2


def test_meanings_hold_for_images_read_piece_by_piece(tmp_path, stack, smooth, lazily):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, 255 - stack, photometric="miniswhite")
    image = read_image(path)
    assert not isinstance(image.array, np.ndarray)
    np.testing.assert_array_equal(image.axes.frame(image.array, 1)[0], stack[1])
    palette = (np.arange(256)[::-1] * 257 * np.array([[1], [0], [1]])).astype(np.uint16)
    tifffile.imwrite(path, 255 - stack, photometric="palette", colormap=palette)
    image = read_image(path)
    np.testing.assert_array_equal(image.axes.frame(image.array, 1)[0], stack[1])
    Image.fromarray(smooth).convert("CMYK").save(path)
    image = read_image(path)
    assert not isinstance(image.array, np.ndarray)
    np.testing.assert_allclose(np.asarray(image.array), smooth, atol=2)
    tifffile.imwrite(path, np.dstack([smooth, smooth[..., 0]]), extrasamples=["unassalpha"])
    np.testing.assert_array_equal(np.asarray(read_image(path).array), smooth)


def test_an_orientation_is_said(tmp_path, pixels):
    tifffile.imwrite(tmp_path / "a.tif", pixels, metadata=None, extratags=[(274, 3, 1, 6, True)])
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.array, pixels)
    assert "orientation 6" in image.notices[0]


def test_complex_numbers_are_refused(tmp_path, pixels):
    tifffile.imwrite(tmp_path / "a.tif", pixels.astype(np.complex64))
    with pytest.raises(ImageError, match="complex64 are not read"):
        read_image(tmp_path / "a.tif")


# Axes and images


def test_a_narrow_last_axis_holds_channels(tmp_path):
    data = np.zeros((96, 80, 5), np.uint8) + np.arange(5, dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack")
    image = read_image(tmp_path / "a.tif")
    assert (image.axes.order, image.guesses) == ("YXC", ("axes",))
    np.testing.assert_array_equal(image.array, data)


@pytest.mark.parametrize(
    ("axes", "order", "said"),
    [
        ("HCYX", "ZCYX", "axis H of 2 entries is taken for slices"),
        ("ZRYX", "ZTYX", "axis R of 3 entries is taken for time points"),
        ("TAYX", "TZYX", "axis A of 3 entries is taken for slices"),
        ("ZEYX", "ZCYX", "axis E of 3 entries is taken for channels"),
        ("YX", "TZYX", "axes YX, which its shape"),
    ],
)
def test_known_letters_keep_their_meaning(tmp_path, axes, order, said):
    data = np.zeros((2, 3, 32, 36), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", metadata={"axes": axes})
    image = read_image(tmp_path / "a.tif")
    assert (image.axes.order, image.guesses) == (order, ("axes",))
    assert said in image.notices[0]


def test_an_axis_too_many_is_a_choice(tmp_path):
    data = np.arange(2 * 3 * 4, dtype=np.uint8)[:, None, None] + np.zeros((32, 36), np.uint8)
    data = data.reshape(2, 3, 4, 32, 36)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", metadata={"axes": "TZPYX"})
    assert len(list_scenes(tmp_path / "a.tif")) == 4
    image = read_image(tmp_path / "a.tif", 3)
    assert image.axes.order == "TZYX"
    np.testing.assert_array_equal(image.array, data[:, :, 2])


def test_images_of_an_ome_tiff_are_their_own(tmp_path, pixels, stack):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        file.write(pixels, metadata={"axes": "YX", "Name": "thumb", "PhysicalSizeX": 1.0})
        file.write(
            stack, photometric="minisblack",
            metadata={"axes": "ZYX", "Name": "big", "PhysicalSizeX": 0.5, "PhysicalSizeZ": 300,
                      "PhysicalSizeZUnit": "nm"},
        )  # fmt: skip
    assert list_scenes(tmp_path / "a.ome.tif") == ("thumb", "big")
    first = read_image(tmp_path / "a.ome.tif")
    assert first.axes.order == "YX"
    assert "image 1 of 2 in the file (1 thumb, 2 big)" in first.notices[0]
    second = read_image(tmp_path / "a.ome.tif#big")
    np.testing.assert_array_equal(second.array, stack)
    assert second.spacing == pytest.approx((0.3, 1, 0.5))
    with pytest.raises(ImageError, match="no image 3"):
        read_image(tmp_path / "a.ome.tif#3")


def test_pages_of_other_sizes_are_images(tmp_path, pixels):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for rows in (40, 50, 60):
            file.write(pixels[:rows], metadata=None)
    assert "image 1 of 3" in read_image(tmp_path / "a.tif").notices[0]
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", 2).array, pixels[:50])


def test_one_page_of_another_size_is_an_image(tmp_path, pixels):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for k in range(12):
            file.write(pixels[: 40 if k == 3 else 60] + k, metadata=None)
    image = read_image(tmp_path / "a.tif")
    assert image.array.shape == (11, 60, 72)
    np.testing.assert_array_equal(image.array[3], pixels + 4)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", 2).array, pixels[:40] + 3)


def test_pages_written_in_turn_are_a_stack(tmp_path, stack):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for plane in stack:
            file.write(plane)
    image = read_image(tmp_path / "a.tif")
    assert (image.axes.order, image.scenes) == ("ZYX", ())
    np.testing.assert_array_equal(image.array, stack)


def test_positions_of_micromanager_are_images(tmp_path):
    data = np.arange(2 * 3 * 2, dtype=np.uint8).reshape(2, 3, 2, 1, 1) + np.zeros((20, 30), "u1")
    summary = {
        "MicroManagerVersion": "1.4", "Frames": 2, "Positions": 3, "Slices": 2, "Channels": 1,
        "PixelSize_um": 0.25, "z-step_um": 0.5, "Interval_ms": 100,
    }  # fmt: skip
    planes = [((0, z, t, p), data[t, p, z]) for t in range(2) for p in range(3) for z in range(2)]
    path = tmp_path / "a_MMStack.tif"
    write_micromanager(path, planes, summary)
    assert len(list_scenes(path)) == 3
    image = read_image(path, 2)
    assert image.axes.order == "TZYX"
    np.testing.assert_array_equal(image.array, data[:, 1])
    assert image.spacing == (100, 0.5, 0.25, 0.25)
    assert image.units == ("ms", "um", "um", "um")
    write_micromanager(path, planes[:6], summary)
    image = read_image(path, 3)
    np.testing.assert_array_equal(image.array, data[0, 2])
    assert "1 of 2 frames" in image.notices[0]


# Sets of files, and what is missing


def parts(folder, stack, names=("m_0.ome.tif", "m_1.ome.tif")):
    """Write two slices into two files, each with the metadata of the set."""
    ids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{k}" for k in range(2)]
    data = "".join(
        f'<TiffData FirstZ="{k}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{names[k]}">{ids[k]}</UUID></TiffData>'
        for k in range(2)
    )
    for k, name in enumerate(names):
        described(folder / name, stack[k], document(2, data, more=f' UUID="{ids[k]}"'))
    return document(2, data, more=' UUID="urn:uuid:00000000-0000-0000-0000-000000000009"')


def test_a_set_of_files_is_whole_or_named(tmp_path, stack):
    parts(tmp_path, stack)
    for name in ("m_0.ome.tif", "m_1.ome.tif"):
        np.testing.assert_array_equal(read_image(tmp_path / name).array, stack[:2])
    (tmp_path / "m_1.ome.tif").unlink()
    with pytest.raises(ImageError, match=r"several files, and m_1\.ome\.tif is not beside it"):
        read_image(tmp_path / "m_0.ome.tif")


@pytest.mark.parametrize("main", ["set.companion.ome", "m_0.ome.tif"])
def test_a_part_leads_to_the_metadata_of_its_set(tmp_path, stack, main):
    text = parts(tmp_path, stack)
    if main.endswith(".ome"):
        (tmp_path / main).write_text(text)
    only = f'<OME><BinaryOnly MetadataFile="{main}" UUID="urn:uuid:9"/></OME>'
    described(tmp_path / "m_1.ome.tif", stack[1], only)
    image = read_image(tmp_path / "m_1.ome.tif")
    np.testing.assert_array_equal(image.array, stack[:2])
    assert "part of a set" in image.notices[0]
    (tmp_path / main).unlink()
    with pytest.raises(ImageError, match=f"described in {main}, which is not beside it"):
        read_image(tmp_path / "m_1.ome.tif")


def test_a_renamed_ome_tiff_is_read(tmp_path, stack):
    uuid = '<UUID FileName="old.ome.tif">urn:uuid:1</UUID>'
    data = f'<TiffData IFD="0" PlaneCount="2">{uuid}</TiffData>'
    for more in (' UUID="urn:uuid:1"', ""):
        path = described(tmp_path / "new.ome.tif", stack[:2], document(2, data, more=more))
        np.testing.assert_array_equal(read_image(path).array, stack[:2])


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["imagej", "ome", "shaped", None])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_cut_stack_is_refused(tmp_path, stack, kind, compression, share):
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX"} if kind else None
    kinds = {kind: True} if kind in ("imagej", "ome") else {}
    tifffile.imwrite(
        path, stack, photometric="minisblack", compression=compression, metadata=metadata, **kinds
    )
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=r"a\.tif: .*incomplete"):
        read_image(path)


def one_page(path):
    """Leave only the first page in the list of a TIFF's pages, as ImageJ does in large files."""
    with tifffile.TiffFile(path) as file:
        first = file.pages.first.offset
        tags = len(file.pages.first.tags)
    with path.open("r+b") as file:
        file.seek(first + 2 + 12 * tags)
        file.write(bytes(4))


def test_an_imagej_stack_of_one_page(tmp_path, stack):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZYX"})
    one_page(path)
    np.testing.assert_array_equal(read_image(path).array, stack)
    path.write_bytes(path.read_bytes()[: stack.nbytes * 2 // 3 + 200])
    with pytest.raises(ImageError, match="3 images, and the file holds 1"):
        read_image(path)


# Hostile files


def claim(path, **tags):
    """Overwrite tags of the first page by 32-bit numbers."""
    with tifffile.TiffFile(path) as file:
        places = {name: file.pages.first.tags[name].offset for name in tags}
    with path.open("r+b") as file:
        for name, value in tags.items():
            file.seek(places[name] + 2)
            file.write(struct.pack("<HII", 4, 1, value))


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd"])
@pytest.mark.parametrize("size", [100_000, 2_000_000_000])
def test_a_claim_beyond_the_file_is_refused(tmp_path, pixels, compression, size):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, metadata=None, rowsperstrip=60, compression=compression)
    claim(path, ImageWidth=size, ImageLength=size, RowsPerStrip=size)
    with pytest.raises(ImageError, match=r"damaged or incomplete|GB in memory"):
        read_image(path)
    tifffile.imwrite(path, pixels, metadata=None, tile=(16, 16), compression=compression)
    claim(path, ImageWidth=size, ImageLength=size)
    with pytest.raises(ImageError, match="damaged or incomplete"):
        read_image(path)


@pytest.mark.parametrize("planes", [1_000_000, 10**15, 0, -3])
def test_claims_of_ome_metadata_are_refused(tmp_path, stack, planes):
    path = described(tmp_path / "a.ome.tif", stack[:2], document(planes))
    with pytest.raises(ImageError, match=r"the file holds 2|a size of"):
        read_image(path)
    data = f'<TiffData IFD="0" PlaneCount="{planes or -1}"/>'
    path = described(tmp_path / "a.ome.tif", stack[:2], document(2, data))
    with pytest.raises(ImageError, match="of 2 images in one place"):
        read_image(path)


def test_entities_in_metadata_are_refused(tmp_path, stack):
    bomb = '<!DOCTYPE a [<!ENTITY b "bbb"><!ENTITY c "&b;&b;&b;">]>'
    path = described(tmp_path / "a.ome.tif", stack[:2], document(2, before=bomb))
    with pytest.raises(ImageError, match="XML entities"):
        read_image(path)


@pytest.mark.parametrize(("pages", "back"), [(1, 0), (3, 1), (130, 120)])
def test_a_circle_of_pages_is_refused(tmp_path, pages, back):
    path = tmp_path / "a.tif"
    data = np.zeros((pages, 4, 5), np.uint8)
    tifffile.imwrite(path, data, photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as file:
        offset, last = file.pages[back].offset, file.pages.next_page_offset
    with path.open("r+b") as file:
        file.seek(last)
        file.write(struct.pack("<I", offset))
    for reader in (read_image, read_recipe, list_scenes):
        with pytest.raises(ImageError, match="is a circle"):
            reader(path)


# Labels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32])
@pytest.mark.parametrize(
    ("spacing", "units"),
    [
        ((3.0, 0.3, 0.2, 0.1), ("s", "um", "um", "um")),
        ((1 / 3, 1e9, 1e-9, 123456.789), ("ms", "um", "um", "um")),
        ((60.0, 5e-10, 7.77e8, 1.1e-9), ("h", "Å", "Å", "Å")),
        ((1.0, 2.5, 1.25, 5.0), ("pixel",) * 4),
        ((1.0, 2.0, 3.0, 4.0), ("pixel", "reference frame", "reference frame", "reference frame")),
        ((2.0, 4.0, 0.5, 0.5), ("s", "s", "um", "um")),
    ],
)
def test_labels_keep_their_whole_grid(tmp_path, dtype, spacing, units):
    labels = np.random.default_rng(0).integers(0, 9, (2, 3, 8, 9)).astype(dtype)
    affine = np.diag([-0.1, 0.2, 0.3, 1])
    affine[:3, 3] = 1 / 3, -7, 1e5
    known = tuple(0.0 if unit == "pixel" else 1.7 for unit in units)
    grid = Grid("TZYX", spacing, units, known, affine)
    write_labels(tmp_path / "a.tif", labels, grid=grid, recipe={"Å": ["µ", 1]})
    found = read_label_file(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.array, labels)
    np.testing.assert_allclose(found.spacing, spacing, rtol=1e-12)
    assert found.units == units
    np.testing.assert_allclose(found.grid.origin, known, rtol=1e-12)
    np.testing.assert_array_equal(found.grid.affine, affine)
    assert found.notices == ()
    assert read_recipe(tmp_path / "a.tif") == {"Å": ["µ", 1]}


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_labels_come_back(tmp_path_factory, data):
    axes = data.draw(st.sampled_from(["YX", "ZYX", "TYX", "TZYX", "XY", "ZTYX", "XYZ"]))
    shape = [data.draw(st.integers(1 if axis in "YX" else 2, 5)) for axis in axes]
    dtype = data.draw(st.sampled_from(["u1", "u2", "u4", "f4"]))
    length = data.draw(st.sampled_from(["um", "Å", "in", "km", "pixel", "reference frame"]))
    time = data.draw(st.sampled_from(["s", "ms", "d", "pixel"]))
    units = tuple(time if axis == "T" else length for axis in axes)
    spacing = [data.draw(st.floats(1e-9, 1e9)) for _ in axes]
    origin = [0.0 if unit == "pixel" else data.draw(st.floats(-1e6, 1e6)) for unit in units]
    labels = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    path = tmp_path_factory.getbasetemp() / "any.tif"
    write_labels(path, labels, grid=Grid(axes, tuple(spacing), units, tuple(origin)))
    found = read_image(path)
    assert (found.axes.order, found.units, found.notices) == (axes, units, ())
    np.testing.assert_array_equal(found.array, labels)
    np.testing.assert_allclose(found.spacing, spacing, rtol=1e-9)
    np.testing.assert_allclose(found.grid.origin, origin, rtol=1e-9)


def test_imagej_sees_the_calibration_of_labels(tmp_path):
    grid = Grid("TZYX", (3.0, 0.5, 0.2, 0.1), ("ms", "um", "um", "um"), (0.0, 0.0, 1.0, 2.0))
    write_labels(tmp_path / "a.tif", np.zeros((2, 3, 8, 9), np.uint16), grid=grid)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        said, tags = file.imagej_metadata, file.pages.first.tags
        assert (said["frames"], said["slices"]) == (2, 3)
        assert (said["unit"], said["spacing"], said["finterval"]) == ("um", 0.5, 3.0)
        assert said["tunit"] == "ms"
        assert (said["xorigin"], said["yorigin"]) == (-20, -5)
        across = tags["XResolution"].value
        assert across[0] / across[1] == pytest.approx(10)


def test_a_scale_changed_in_imagej_wins(tmp_path):
    path = tmp_path / "a.tif"
    grid = Grid("YX", (0.3, 1 / 3), ("um", "um"), (1.0, 2.0), np.eye(4))
    write_labels(path, np.zeros((8, 9), np.uint8), grid=grid)
    with tifffile.TiffFile(path, mode="r+b") as file:
        # ImageJ stores what it was given in steps of a millionth.
        file.pages.first.tags["XResolution"].overwrite((2_999_999, 1_000_000))
    assert read_image(path).spacing == (0.3, 1 / 3)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages.first.tags["XResolution"].overwrite((2_000_000, 1_000_000))
    image = read_image(path)
    assert image.spacing == pytest.approx((0.3, 0.5))
    assert image.grid.affine is None
    assert "scale was changed" in image.notices[0]


def test_labels_beyond_four_gigabytes_are_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_write, "LARGEST_CLASSIC", 100)
    grid = Grid("ZYX", (3.0, 0.5, 0.5), ("um",) * 3)
    write_labels(tmp_path / "a.tif", np.ones((3, 8, 9), np.uint8), grid=grid)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_bigtiff
    assert read_image(tmp_path / "a.tif").spacing == (3.0, 0.5, 0.5)


# Endings


@pytest.mark.parametrize("end", [".btf", ".tf8", ".lsm", ".stk", ".svs", ".qptiff", ".ndpi"])
def test_endings_of_microscopes_are_tiff_inside(tmp_path, pixels, end):
    tifffile.imwrite(tmp_path / f"a{end}", pixels, bigtiff=end == ".tf8")
    image = read_image(tmp_path / f"a{end}")
    np.testing.assert_array_equal(image.array, pixels)
    assert image.notices == ()


@pytest.mark.parametrize("name", ["a", "a.dat", "a.png"])
def test_a_tiff_is_known_by_its_content(tmp_path, pixels, name):
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    shutil.move(tmp_path / "a.tif", tmp_path / name)
    image = read_image(tmp_path / name)
    np.testing.assert_array_equal(image.array, pixels)
    assert "by its content it is a TIFF" in image.notices[0]


@pytest.mark.parametrize("end", [".oib", ".vsi", ".ims", ".mrxs", ".dv", ".zvi", ".sld"])
def test_formats_that_are_not_read_name_the_program_that_converts_them(tmp_path, end):
    (tmp_path / f"a{end}").write_bytes(b"II*\0")
    with pytest.raises(ImageError, match=f"bfconvert a{end} a.ome.tif"):
        read_image(tmp_path / f"a{end}")


@pytest.mark.parametrize("slices", [2, 3, 4, 5])
def test_no_slice_of_a_short_stack_is_taken_for_transparency(tmp_path, slices):
    stack = np.random.default_rng(0).integers(0, 255, (slices, 20, 30), np.uint8)
    # Without a photometric, tifffile takes 3 and 4 planes for colours.
    tifffile.imwrite(tmp_path / "a.tif", stack, metadata=None)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.tif").array), stack)
