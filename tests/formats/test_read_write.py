import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from napari_seglite.errors import ImageError
from napari_seglite.formats import list_images, read_image, read_labels, read_recipe, write_labels


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 200, (20, 30), np.uint8)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "deflate"])
def test_tiff_is_read_whatever_its_compression(tmp_path, pixels, compression):
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression=compression)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.array, pixels)
    assert image.axes.order == "YX"
    assert image.unit == "pixel"


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_rgb(tmp_path, pixels, name):
    rgb = np.stack([pixels, pixels // 2, pixels // 3], -1)
    imsave(tmp_path / name, rgb, check_contrast=False)
    image = read_image(tmp_path / name)
    assert image.axes.order == "YXC"
    np.testing.assert_array_equal(image.array, rgb)


def test_imagej_stack_keeps_spacing(tmp_path, pixels):
    stack = np.stack([pixels] * 4).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "s.tif",
        stack,
        imagej=True,
        resolution=(4, 4),
        metadata={"axes": "ZYX", "spacing": 2.5, "unit": "um"},
    )
    image = read_image(tmp_path / "s.tif")
    assert image.axes.order == "ZYX"
    assert image.spacing == pytest.approx((2.5, 0.25, 0.25))
    assert image.unit == "um"


def test_time_is_not_depth(tmp_path, pixels):
    movie = np.stack([pixels] * 4)
    tifffile.imwrite(tmp_path / "t.tif", movie, imagej=True, metadata={"axes": "TYX"})
    assert read_image(tmp_path / "t.tif").axes.order == "TYX"


def test_plain_pages_are_slices(tmp_path, pixels):
    tifffile.imwrite(tmp_path / "p.tif", np.stack([pixels] * 5), photometric="minisblack")
    assert read_image(tmp_path / "p.tif").axes.order == "ZYX"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("ndim", [2, 3])
def test_labels_come_back_with_recipe_and_spacing(tmp_path, dtype, ndim):
    labels = np.arange(6 * 8 * 2).reshape(2, 6, 8).astype(dtype)[0 if ndim == 2 else slice(None)]
    recipe = {"checkpoint": "c", "threshold": 0.5, "frames": None, "unit": "µ"}
    spacing = (3.0, 0.5, 0.25)[-ndim:]
    write_labels(tmp_path / "l.tif", labels, recipe=recipe, spacing=spacing, unit="um")
    np.testing.assert_array_equal(read_labels(tmp_path / "l.tif"), labels)
    assert read_recipe(tmp_path / "l.tif") == recipe
    if dtype != np.uint32:
        image = read_image(tmp_path / "l.tif")
        assert image.spacing == pytest.approx(spacing)
        assert image.unit == "um"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.tif"]


def test_a_failed_write_keeps_the_old_file(tmp_path, pixels):
    write_labels(tmp_path / "l.tif", pixels)
    with pytest.raises(Exception, match=r".*"):
        write_labels(tmp_path / "l.tif", np.zeros((2, 2), complex), axes="QQQ")
    np.testing.assert_array_equal(read_labels(tmp_path / "l.tif"), pixels)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.tif"]


def truncated(folder, pixels):
    path = folder / "cut.tif"
    tifffile.imwrite(path, np.tile(pixels, (20, 20)))
    path.write_bytes(path.read_bytes()[:5000])
    return path


def text(folder, _):
    path = folder / "text.tif"
    path.write_text("cell 1 is fine")
    return path


def cut_png(folder, pixels):
    path = folder / "cut.png"
    imsave(path, pixels, check_contrast=False)
    path.write_bytes(path.read_bytes()[:60])
    return path


def nothing(folder, _):
    path = folder / "empty.tif"
    path.touch()
    return path


@pytest.mark.parametrize("make", [truncated, text, cut_png, nothing])
def test_damaged_files_are_named(tmp_path, pixels, make):
    path = make(tmp_path, pixels)
    with pytest.raises(ImageError, match=f"{path.name}: .*(damaged|incomplete)"):
        read_image(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "missing.tif")
    (tmp_path / "a.docx").touch()
    with pytest.raises(ImageError, match=r"only \.tif"):
        read_image(tmp_path / "a.docx")
    with pytest.raises(ImageError, match=r"no file that ends in \.tif"):
        list_images(tmp_path)
    tifffile.imwrite(tmp_path / "f.tif", np.full((4, 5), 0.5, np.float32))
    with pytest.raises(ImageError, match="whole numbers"):
        read_labels(tmp_path / "f.tif")
    tifffile.imwrite(
        tmp_path / "5d.tif", np.zeros((2, 2, 2, 4, 5), np.uint8), photometric="minisblack"
    )
    with pytest.raises(ImageError, match=r"5d\.tif: .*cannot be segmented"):
        read_image(tmp_path / "5d.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("axes", ["YX", "ZYX", "TYX", "TZYX", "XYZ", "ZTYX"])
def test_labels_of_any_axes_come_back_as_they_were(tmp_path, dtype, axes):
    rng = np.random.default_rng(0)
    sizes = {"T": 2, "Z": 3, "Y": 8, "X": 9}
    labels = rng.integers(0, 200, [sizes[a] for a in axes]).astype(dtype)
    # ImageJ's resolution is a fraction of 32-bit integers; powers of two survive it exactly.
    steps = {"T": 1.0, "Z": 2.0, "Y": 0.25, "X": 0.5}
    spacing = tuple(steps[a] for a in axes)
    path = tmp_path / "labels.tif"
    write_labels(path, labels, recipe={"a": 1}, spacing=spacing, unit="um", axes=axes)
    found = read_image(path)
    np.testing.assert_array_equal(found.array, labels)
    assert found.array.dtype == dtype
    assert found.axes.order == axes
    assert found.spacing == pytest.approx(spacing)
    assert found.unit == "um"
    assert read_recipe(path) == {"a": 1}
