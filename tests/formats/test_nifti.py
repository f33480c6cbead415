"""NIfTI: what nibabel writes is read as it was, and labels go back to where the image lies."""

import gzip
import itertools

import nibabel
import numpy as np
import pytest

from napari_seglite.errors import ImageError
from napari_seglite.formats import nifti, read_image, read_labels, read_recipe, write_labels
from napari_seglite.formats.limits import largest_in_memory
from napari_seglite.images import Grid


@pytest.fixture
def volume():
    """Return voxels int16 ``(X, Y, Z)``."""
    return np.random.default_rng(0).integers(-900, 4000, (7, 6, 5), np.int16)


def oblique():
    """Return an affine that is turned about two axes, left-handed and shifted."""
    a, b = np.deg2rad([20, -35])
    about_z = [[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]
    about_x = [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    affine = np.eye(4)
    affine[:3, :3] = np.array(about_z) @ about_x @ np.diag([-0.5, 0.75, 3.0])
    affine[:3, 3] = 91.5, -126.25, -72
    return affine


def save(path, voxels, affine=None, units=("mm", "sec"), zooms=None, kind=nibabel.Nifti1Image):
    image = kind(voxels, np.diag([0.5, 0.75, 3.0, 1]) if affine is None else affine)
    image.header.set_xyzt_units(*units)
    if zooms:
        image.header.set_zooms(zooms)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_a_volume_is_a_stack_of_slices(tmp_path, volume, name, kind):
    image = read_image(save(tmp_path / name, volume, oblique(), kind=kind))
    np.testing.assert_array_equal(image.array, volume.T)
    assert image.axes.order == "ZYX"
    assert image.spacing == pytest.approx((3.0, 0.75, 0.5))
    assert (image.unit, image.notices) == ("mm", ())
    np.testing.assert_allclose(image.grid.affine, oblique(), atol=1e-4)


@pytest.mark.parametrize("dtype", [">i2", "<i2", ">f4", ">u4", "<f8", "i1"])
def test_types_and_bytes_of_any_order(tmp_path, volume, dtype, monkeypatch):
    voxels = (volume % 100).astype(dtype)
    header = nibabel.Nifti1Header(endianness=dtype[0] if dtype[0] in "<>" else "<")
    header.set_data_dtype(voxels.dtype)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4), header), tmp_path / "v.nii")
    for bound in (10**9, 0):  # in memory, and mapped
        monkeypatch.setattr(nifti, "LAZY_BYTES", bound)
        image = read_image(tmp_path / "v.nii")
        assert image.array.dtype.isnative
        assert image.array.dtype == voxels.dtype.newbyteorder("=")
        np.testing.assert_array_equal(image.axes.frame(image.array, 2)[0], voxels[..., 2].T)


def test_intensities_are_scaled_slice_by_slice(tmp_path, volume, monkeypatch):
    image = nibabel.Nifti1Image(volume, np.eye(4))
    image.header.set_slope_inter(0.5, -10)
    nibabel.save(image, tmp_path / "v.nii")
    for bound in (10**9, 0):
        monkeypatch.setattr(nifti, "LAZY_BYTES", bound)
        read = read_image(tmp_path / "v.nii")
        assert read.array.dtype == np.float32
        np.testing.assert_allclose(
            np.asarray(read.array), nibabel.load(tmp_path / "v.nii").get_fdata().T
        )


def test_a_file_larger_than_the_memory_is_read_slice_by_slice(tmp_path):
    depth = 4 * largest_in_memory() // (2 * 2000 * 2000) + 1
    header = nibabel.Nifti2Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((2000, 2000, depth))
    header["vox_offset"], header["magic"] = 544, b"n+2\x00\r\n\x1a\n"
    with (tmp_path / "v.nii").open("wb") as file:
        file.write(header.binaryblock)
        file.seek(544 + 3 * 2000 * 2000 * 2)
        file.write(np.arange(2000, dtype=np.int16).tobytes())
        file.truncate(544 + depth * 2000 * 2000 * 2)  # sparse: takes no room on the disk
    image = read_image(tmp_path / "v.nii")
    assert image.array.shape == (depth, 2000, 2000)
    np.testing.assert_array_equal(image.axes.frame(image.array, 3)[0, 0], np.arange(2000))


def lying(depth):
    """Return the bytes of a NIfTI that claims so many slices of 2000 x 2000 and holds one row."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((2000, 2000, depth))
    header["vox_offset"], header["magic"] = 352, b"n+1"
    return header.binaryblock + bytes(4) + bytes(2_000_000)


def test_what_a_file_claims_is_checked_before_it_is_read(tmp_path):
    (tmp_path / "v.nii").write_bytes(lying(30_000))
    with pytest.raises(ImageError, match=r"v\.nii: it claims .*2000 x 2000 x 30000 pixels"):
        read_image(tmp_path / "v.nii")
    (tmp_path / "v.nii.gz").write_bytes(gzip.compress(lying(30_000)))
    with pytest.raises(ImageError, match="it claims"):
        read_image(tmp_path / "v.nii.gz")


def test_a_compressed_file_too_large_for_the_memory_is_refused_with_advice(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_seglite.formats.limits.largest_in_memory", lambda: 1_000_000)
    save(tmp_path / "a.b.nii.gz", np.zeros((100, 100, 100), np.int16))
    with pytest.raises(ImageError, match=r"in memory.* gunzip: a\.b\.nii is read slice by slice"):
        read_image(tmp_path / "a.b.nii.gz")


def test_a_series_has_its_interval(tmp_path, volume):
    movie = np.stack([volume, volume + 1], -1)
    for unit, seconds in (("sec", 2.0), ("msec", 2.0), ("usec", 2.0)):
        save(tmp_path / "t.nii", movie, units=("micron", unit), zooms=(0.5, 0.75, 3.0, 2.0))
        image = read_image(tmp_path / "t.nii")
        assert image.axes.order == "TZYX"
        assert image.spacing == pytest.approx((seconds, 3.0, 0.75, 0.5))
        assert image.units == ({"sec": "s", "msec": "ms", "usec": "us"}[unit], "um", "um", "um")
        np.testing.assert_allclose(np.diag(image.grid.affine)[:3], [5e-4, 7.5e-4, 3e-3], rtol=1e-5)
    save(tmp_path / "t.nii", movie, units=("mm", "hz"), zooms=(0.5, 0.75, 3.0, 2.0))
    assert read_image(tmp_path / "t.nii").units == ("pixel", "mm", "mm", "mm")


def test_axes_of_one_entry_and_vectors(tmp_path, volume):
    flat = read_image(save(tmp_path / "a.nii", volume[:, :, 0]))
    assert (flat.axes.order, flat.array.shape) == ("YX", (6, 7))
    assert read_image(save(tmp_path / "b.nii", volume[:, :, :1, None])).axes.order == "YX"
    vectors = read_image(save(tmp_path / "c.nii", np.stack([volume] * 3, -1)[:, :, :, None]))
    assert (vectors.axes.order, vectors.array.shape) == ("CZYX", (3, 5, 6, 7))
    colours = np.zeros(volume.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["G"] = volume % 200
    image = read_image(save(tmp_path / "d.nii", colours))
    assert (image.axes.order, image.rgb) == ("ZYXC", True)
    np.testing.assert_array_equal(image.array[..., 1], volume.T % 200)
    with pytest.raises(ImageError, match="complex"):
        read_image(save(tmp_path / "e.nii", volume.astype(np.complex64)))


@pytest.mark.parametrize("wrong", [0, -0.5, np.nan, np.inf])
def test_a_size_that_is_none_is_unknown_and_said(tmp_path, volume, wrong):
    image = nibabel.Nifti1Image(volume, None)
    image.header.set_xyzt_units("mm")
    path = tmp_path / "v.nii"
    nibabel.save(image, path)
    data = bytearray(path.read_bytes())
    data[80:84] = np.float32(wrong).tobytes()  # pixdim[1], the size along X
    data[252:256] = bytes(4)  # no orientation
    path.write_bytes(data)
    read = read_image(path)
    assert (read.spacing, read.units) == ((1.0, 1.0, 1.0), ("mm", "mm", "pixel"))
    assert "along X is no positive number" in " ".join(read.notices)
    assert read.grid.affine is None


def test_an_affine_without_a_unit_is_in_millimetres_and_said(tmp_path, volume):
    image = read_image(save(tmp_path / "v.nii", volume, units=("unknown", "unknown")))
    assert (image.spacing, image.unit) == ((3.0, 0.75, 0.5), "mm")
    assert "millimetres" in " ".join(image.notices)


def test_header_and_voxels_in_two_files(tmp_path, volume):
    for kind in (nibabel.Nifti1Pair, nibabel.Spm99AnalyzeImage, nibabel.AnalyzeImage):
        nibabel.save(kind(volume, np.diag([0.5, 0.75, 3.0, 1])), tmp_path / "v.hdr")
        for name in ("v.hdr", "v.img"):
            image = read_image(tmp_path / name)
            np.testing.assert_array_equal(image.array, volume.T)
            assert image.spacing == (3.0, 0.75, 0.5)
    (tmp_path / "v.hdr").rename(tmp_path / "other.hdr")
    with pytest.raises(ImageError, match="header is missing"):
        read_image(tmp_path / "v.img")
    with pytest.raises(ImageError, match=r"other\.img"):
        read_image(tmp_path / "other.hdr")


# ------------------------------------------------------------------ labels
def labels_of(shape):
    return (np.arange(np.prod(shape)).reshape(shape) % 7).astype(np.uint32)


@pytest.mark.parametrize("codes", [(1, 0), (0, 2), (1, 2), (3, 4)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_labels_have_the_place_of_their_image_to_the_bit(tmp_path, volume, codes, suffix):
    image = nibabel.Nifti1Image(volume, oblique())
    image.set_qform(oblique(), codes[0])
    image.set_sform(oblique(), codes[1])
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "a.nii.gz")
    source = read_image(tmp_path / "a.nii.gz")
    labels = labels_of(source.array.shape)
    path = tmp_path / f"a_labels{suffix}"
    recipe = {"checkpoint": "µ", "threshold": 0.5}
    write_labels(path, labels, recipe=recipe, grid=source.grid, source=tmp_path / "a.nii.gz")
    back, original = nibabel.load(path), nibabel.load(tmp_path / "a.nii.gz")
    assert back.shape == original.shape
    np.testing.assert_array_equal(back.affine, original.affine)
    for name in ("get_qform", "get_sform"):
        mine, theirs = (getattr(each, name)(coded=True) for each in (back, original))
        assert mine[1] == theirs[1]
        if mine[1]:
            np.testing.assert_array_equal(mine[0], theirs[0])
    assert back.header.get_xyzt_units() == ("mm", "unknown")
    assert back.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(back.dataobj).T, labels)
    assert read_recipe(path) == recipe
    assert read_recipe(tmp_path / "a.nii.gz") == {}
    read = read_image(path)
    np.testing.assert_array_equal(read.grid.affine, source.grid.affine)
    assert read.grid.spacing == source.grid.spacing


@pytest.mark.parametrize(
    ("largest", "dtype"),
    [(255, "u1"), (256, "i2"), (40_000, "u2"), (70_000, "i4"), (2**32 - 1, "u4")],
)
def test_labels_take_the_smallest_type(tmp_path, largest, dtype):
    labels = np.array([[0, 1], [2, largest]], np.uint32)
    write_labels(tmp_path / "l.nii", labels)
    assert nibabel.load(tmp_path / "l.nii").get_data_dtype() == np.dtype(dtype)
    np.testing.assert_array_equal(read_labels(tmp_path / "l.nii"), labels)


@pytest.mark.parametrize("axes", ["YX", "TYX", "ZYX", "XYZ", "TZYX", "ZTYX", "YXT"])
def test_axes_of_any_order_come_as_time_and_slices(tmp_path, axes):
    labels = labels_of({2: (3, 4), 3: (2, 3, 4), 4: (5, 2, 3, 4)}[len(axes)])
    sizes = {"T": 250.0, "Z": 3.0, "Y": 0.75, "X": 0.5}
    units = {"T": "ms"} | dict.fromkeys("ZYX", "nm")
    grid = Grid.of(axes, sizes, units)
    write_labels(tmp_path / "l.nii.gz", labels, grid=grid)
    image = read_image(tmp_path / "l.nii.gz")
    order = "".join(a for a in "TZYX" if a in axes)
    assert image.axes.order == order
    np.testing.assert_array_equal(image.array, labels.transpose([axes.index(a) for a in order]))
    # NIfTI knows no nanometres.
    wanted = {a: n * (1e-6 if a != "T" else 1) for a, n in sizes.items()}
    assert image.spacing == pytest.approx([wanted[a] for a in order])
    assert image.units == tuple("ms" if a == "T" else "mm" for a in order)
    assert image.grid.affine is None


def test_sizes_without_a_unit_stay_proportions(tmp_path):
    write_labels(tmp_path / "l.nii", labels_of((2, 3, 4)), spacing=(3, 1, 1), unit="pixel")
    image = read_image(tmp_path / "l.nii")
    assert (image.spacing, image.unit) == ((3.0, 1.0, 1.0), "pixel")


def test_labels_lie_on_the_image_for_itk(tmp_path, volume):
    itk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    save(tmp_path / "a.nii.gz", volume, oblique())
    source = read_image(tmp_path / "a.nii.gz")
    write_labels(tmp_path / "l.nii.gz", (volume.T > 2000).astype(np.uint8), grid=source.grid,
                 source=tmp_path / "a.nii.gz")  # fmt: skip
    image, labels = (itk.ReadImage(str(tmp_path / name)) for name in ("a.nii.gz", "l.nii.gz"))
    for index in itertools.product((0, 6), (0, 5), (0, 4)):
        place = image.TransformIndexToPhysicalPoint(index)
        assert labels.TransformIndexToPhysicalPoint(index) == pytest.approx(place, abs=1e-5)
        assert labels[index] == (image[index] > 2000)


def test_a_place_from_elsewhere_goes_into_the_header(tmp_path):
    grid = Grid.of("ZYX", {"Z": 3.0, "Y": 0.75, "X": 0.5}, "um", affine=oblique())
    write_labels(tmp_path / "l.nii", labels_of((2, 3, 4)), grid=grid)
    image = nibabel.load(tmp_path / "l.nii")
    assert image.header.get_xyzt_units()[0] == "micron"
    np.testing.assert_allclose(read_image(tmp_path / "l.nii").grid.affine, oblique(), rtol=1e-5)
