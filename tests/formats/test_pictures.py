"""Pictures and arrays: every bit, the colours as displayed, the numbers of labels as stored."""

import os
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from napari_seglite.errors import ImageError
from napari_seglite.formats import read_image, read_label_file, read_labels


@pytest.fixture
def grey():
    """Return a picture uint8 (40, 56) that no turn or mirror leaves as it is."""
    rows, columns = np.mgrid[:40, :56]
    return (rows * 2 + columns * 3).astype(np.uint8)


@pytest.fixture
def colours(grey):
    return np.stack([grey, 255 - grey, grey // 2], -1)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(path, rows, width, height, bits, kind, interlace=0):
    """Write a PNG by hand: rows of bytes that are packed already."""
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlace)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_keeps_sixteen_bits(tmp_path, colours, channels):
    pixels = np.dstack([colours, colours[..., 0]])[..., :channels].astype(np.uint16) * 211 + 5
    pixels = pixels[..., 0] if channels == 1 else pixels
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    image = read_image(tmp_path / "a.png")
    expected = {1: pixels, 2: pixels[..., 0], 3: pixels, 4: pixels[..., :3]}[channels]
    assert image.array.dtype == np.uint16
    np.testing.assert_array_equal(image.array, expected)
    assert any("transparency" in said for said in image.notices) == (channels in (2, 4))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_of_few_bits(tmp_path, bits):
    values = np.arange(8 * 8).reshape(8, 8) % 2**bits
    packed = np.zeros((8, bits), np.uint8)
    for k in range(8):
        packed[:, k * bits // 8] |= (values[:, k] << (8 - bits - k * bits % 8)).astype(np.uint8)
    png(tmp_path / "a.png", [row.tobytes() for row in packed], 8, 8, bits, 0)
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png").array, values * (255 // (2**bits - 1))
    )
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), values)


def test_an_interlaced_png(tmp_path):
    values = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1)]  # fmt: skip
    rows = [row.tobytes() for y, x, dy, dx in passes for row in values[y::dy, x::dx]]
    png(tmp_path / "a.png", rows, 8, 8, 8, 0, interlace=1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").array, values)


def palette(path, indices, colours):
    picture = Image.fromarray(indices)
    picture.putpalette(np.asarray(colours, np.uint8).ravel().tolist())
    picture.save(path)


def test_a_palette_is_colours_or_numbers_of_classes(tmp_path, grey):
    classes = grey // 90
    for name in ("a.png", "a.bmp", "a.gif"):
        palette(tmp_path / name, classes, [[0, 0, 0], [128, 0, 0], [0, 128, 0]])
        image = read_image(tmp_path / name)
        assert (image.axes.order, image.rgb) == ("YXC", True)
        np.testing.assert_array_equal(image.array[..., 1], (classes == 2) * 128)
        labels = read_label_file(tmp_path / name)
        np.testing.assert_array_equal(labels.array, classes)
    palette(tmp_path / "a.png", classes, [[200] * 3, [20] * 3, [90] * 3])
    image = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.array, np.array([200, 20, 90])[classes])
    assert "grey values" in image.notices[0]


def test_labels_in_colour_files(tmp_path, grey, colours):
    Image.fromarray(grey).convert("RGB").save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), grey)
    Image.fromarray(colours).save(tmp_path / "b.png")
    with pytest.raises(ImageError, match="picture of 3 channels, not labels"):
        read_labels(tmp_path / "b.png")


def test_alpha_is_left_out(tmp_path, grey, colours):
    clear = np.full_like(grey, 255)
    for pixels, order in ((grey[..., None], "YX"), (colours, "YXC")):
        Image.fromarray(np.dstack([pixels, clear])).save(tmp_path / "a.png")
        image = read_image(tmp_path / "a.png")
        assert (image.axes.order, image.notices) == (order, ())
        np.testing.assert_array_equal(image.array, pixels.squeeze())
        Image.fromarray(np.dstack([pixels, grey])).save(tmp_path / "a.png")
        assert "transparency" in read_image(tmp_path / "a.png").notices[0]


def test_cmyk_jpeg_has_the_colours_that_are_displayed(tmp_path, colours):
    picture = Image.fromarray(colours)
    picture.convert("CMYK").save(tmp_path / "a.jpg", quality=100, subsampling=0)
    image = read_image(tmp_path / "a.jpg")
    assert (image.axes.order, image.rgb) == ("YXC", True)
    assert np.abs(image.array.astype(int) - colours).mean() < 5


def test_orientation_of_exif_is_said(tmp_path, colours):
    picture = Image.fromarray(colours)
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.jpg", exif=exif)
    image = read_image(tmp_path / "a.jpg")
    assert image.array.shape == colours.shape
    assert "EXIF orientation 6" in image.notices[0]


@pytest.mark.parametrize("name", ["a.jp2", "a.j2k", "a.webp", "a.bmp", "a.gif", "a.jpg"])
def test_other_pictures(tmp_path, colours, name):
    codec = {"jp2": "jpeg2k", "j2k": "jpeg2k"}.get(name[2:])
    if codec:
        kind = "jp2" if name == "a.jp2" else "j2k"
        (tmp_path / name).write_bytes(imagecodecs.jpeg2k_encode(colours, level=0, codecformat=kind))
    else:
        Image.fromarray(colours).save(tmp_path / name, lossless=True, quality=100)
    image = read_image(tmp_path / name)
    assert (image.axes.order, image.rgb) == ("YXC", True)
    assert np.abs(image.array.astype(int) - colours).mean() < 12


def test_jpeg_2000_keeps_bits_and_channels(tmp_path, colours):
    four = np.dstack([colours, colours[..., 0]]).astype(np.uint16) * 200
    (tmp_path / "a.j2k").write_bytes(imagecodecs.jpeg2k_encode(four, level=0, codecformat="j2k"))
    image = read_image(tmp_path / "a.j2k")
    np.testing.assert_array_equal(image.array, four)
    assert not image.rgb


def test_frames_are_time_points_or_said(tmp_path, grey):
    frames = [Image.fromarray(grey), Image.fromarray(255 - grey)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=40)
    image = read_image(tmp_path / "a.gif")
    assert image.axes.order == "TYX"
    np.testing.assert_array_equal(image.array, np.stack([grey, 255 - grey]))
    assert (image.spacing[0], image.units[0]) == (40, "ms")
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    image = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.array, grey)
    assert "holds 2 pictures; the first is read" in image.notices[0]


def test_claims_beyond_the_file_are_refused(tmp_path, grey, colours):
    png(tmp_path / "a.png", [b"\0"], 200_000, 200_000, 8, 2)
    with pytest.raises(ImageError, match="damaged or incomplete"):
        read_image(tmp_path / "a.png")
    Image.fromarray(colours).save(tmp_path / "a.jpg")
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", 65000, 65000)
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(ImageError, match="damaged or incomplete"):
        read_image(tmp_path / "a.jpg")
    Image.fromarray(grey).save(tmp_path / "a.bmp")
    data = bytearray((tmp_path / "a.bmp").read_bytes())
    data[18:26] = struct.pack("<ii", 10**8, 10**8)
    (tmp_path / "a.bmp").write_bytes(data)
    with pytest.raises(ImageError, match="damaged or incomplete"):
        read_image(tmp_path / "a.bmp")
    (tmp_path / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(colours, codecformat="jp2"))
    data = bytearray((tmp_path / "a.jp2").read_bytes())
    place = data.index(b"ihdr") + 4
    data[place : place + 8] = struct.pack(">II", 2**31 - 1, 2**31 - 1)
    (tmp_path / "a.jp2").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.jp2"):
        read_image(tmp_path / "a.jp2")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.gif", "a.webp", "a.jp2"])
@pytest.mark.parametrize("depth", [8, 16])
def test_cut_pictures_are_refused(tmp_path, name, depth):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    if name == "a.jp2":
        (tmp_path / name).write_bytes(imagecodecs.jpeg2k_encode(noise, level=0, codecformat="jp2"))
    elif name == "a.png" and depth == 16:
        (tmp_path / name).write_bytes(imagecodecs.png_encode(noise.astype(np.uint16) * 257))
    else:
        Image.fromarray(noise).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(ImageError, match=name):
        read_image(tmp_path / name)


def test_a_picture_is_known_by_its_content(tmp_path, colours):
    Image.fromarray(colours).save(tmp_path / "a.png")
    os.replace(tmp_path / "a.png", tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.array, colours)
    assert "name ends in .tif, but by its content it is a picture" in image.notices[0]
    os.replace(tmp_path / "a.tif", tmp_path / "a.jpg")  # one kind of picture for another
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg").array, colours)


# Arrays of NumPy


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_arrays_of_numpy(tmp_path, grey):
    stack = np.stack([grey] * 3).astype(np.float32)
    np.save(tmp_path / "a.npy", stack)
    image = read_image(tmp_path / "a.npy")
    assert (image.axes.order, image.guesses) == ("ZYX", ("axes",))
    assert isinstance(image.array, np.memmap)
    np.testing.assert_array_equal(image.array, stack)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.npy"), stack)
    np.save(tmp_path / "a.npy", np.asfortranarray(grey.astype(">u2")))
    image = read_image(tmp_path / "a.npy")
    assert image.array.dtype == np.uint16
    assert image.array.dtype.isnative
    np.testing.assert_array_equal(image.array, grey)


def test_arrays_that_are_no_images_are_refused(tmp_path, grey):
    path = tmp_path / "a.npy"
    np.save(path, np.array([Evil(tmp_path / "evil")], object), allow_pickle=True)
    with pytest.raises(ImageError, match="Python objects"):
        read_image(path)
    assert not (tmp_path / "evil").exists()
    for array, said in (
        (grey.astype(np.complex64), "complex64 are not images"),
        (np.zeros((4, 4), [("a", "u1")]), "are not images"),
        (np.zeros(5), "shape"),
        (np.zeros((0, 5)), "shape"),
        (np.array([["a"]]), "are not images"),
    ):
        np.save(path, array)
        with pytest.raises(ImageError, match=said):
            read_image(path)
    np.save(path, grey)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ImageError, match=r"a\.npy"):
        read_image(path)
