"""NRRD, MetaImage and MRC: what their own libraries write is read as it was."""

import builtins

import nibabel
import numpy as np
import pytest

from napari_seglite.errors import ImageError
from napari_seglite.formats import (
    list_images,
    read_image,
    read_label_file,
    read_labels_for,
    read_recipe,
    write_labels,
)
from napari_seglite.images import Grid

TURNED = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, -1]])


@pytest.fixture
def pixels():
    """Return slices int16 (3, 20, 30)."""
    return np.random.default_rng(0).integers(-900, 4000, (3, 20, 30), np.int16)


@pytest.fixture
def itk():
    return pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")


@pytest.fixture
def mrcfile():
    return pytest.importorskip("mrcfile", reason="mrcfile is not installed")


def saved(itk, path, pixels, vector=False):
    image = itk.GetImageFromArray(pixels, isVector=vector)
    image.SetSpacing((0.25, 0.5, 2.5))
    image.SetOrigin((10, -20, 5))
    image.SetDirection(TURNED.ravel().tolist())
    itk.WriteImage(image, str(path), useCompression="nrrd" in path.name)
    return path


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
def test_a_volume_with_its_place(tmp_path, itk, pixels, name):
    image = read_image(saved(itk, tmp_path / name, pixels))
    np.testing.assert_array_equal(image.array, pixels)
    assert (image.axes.order, image.spacing, image.unit) == ("ZYX", (2.5, 0.5, 0.25), "mm")
    original = itk.ReadImage(str(tmp_path / name))
    for index in ((0, 0, 0), (29, 19, 2)):
        left, back, head = original.TransformIndexToPhysicalPoint(index)
        place = image.grid.affine @ [*index, 1]
        np.testing.assert_allclose(place[:3], [-left, -back, head], atol=1e-9)
    assert list_images(tmp_path) == [tmp_path / name]


def test_labels_in_another_format_than_their_image(tmp_path, itk, pixels):
    saved(itk, tmp_path / "a.mha", pixels)
    image = read_image(tmp_path / "a.mha")
    labels = (pixels > 2000).astype(np.uint8)
    affine = image.grid.affine @ [[-1, 0, 0, 29], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    nibabel.save(nibabel.Nifti1Image(labels.T[::-1], affine), tmp_path / "l.nii.gz")
    np.testing.assert_array_equal(read_labels_for(image, tmp_path / "l.nii.gz").array, labels)


def test_vectors_colours_series_and_flat_images(tmp_path, itk, pixels):
    vectors = read_image(saved(itk, tmp_path / "v.nrrd", np.stack([pixels] * 2, -1), True))
    assert (vectors.axes.order, vectors.rgb) == ("ZYXC", False)
    colours = (np.stack([pixels, pixels, pixels], -1) % 200).astype(np.uint8)
    assert read_image(saved(itk, tmp_path / "c.mha", colours, True)).rgb
    movie = itk.GetImageFromArray(np.stack([pixels, pixels]), isVector=False)
    movie.SetSpacing((0.25, 0.5, 2.5, 3))
    itk.WriteImage(movie, str(tmp_path / "t.nrrd"))
    image = read_image(tmp_path / "t.nrrd")
    assert (image.axes.order, image.spacing) == ("TZYX", (3.0, 2.5, 0.5, 0.25))
    assert image.units == ("pixel", "mm", "mm", "mm")
    itk.WriteImage(itk.GetImageFromArray(pixels[0]), str(tmp_path / "f.mha"))
    flat = read_image(tmp_path / "f.mha")
    assert (flat.axes.order, flat.grid.affine) == ("YX", None)
    itk.WriteImage(itk.GetImageFromArray(pixels[0] * 1j), str(tmp_path / "z.nrrd"))
    with pytest.raises(ImageError, match="complex"):
        read_image(tmp_path / "z.nrrd")


def test_units_and_spaces_of_nrrd(tmp_path, itk):
    head = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 3 2\nencoding: raw\n"
    plain = b'spacings: 0.5 0.6 2\nunits: "um" "um" "um"\n\n'
    (tmp_path / "a.nrrd").write_bytes(head + plain + bytes(24))
    image = read_image(tmp_path / "a.nrrd")
    assert (image.spacing, image.unit, image.grid.affine) == ((2.0, 0.6, 0.5), "um", None)
    space = (b"space: right-anterior-superior\nspace directions: (0.5,0,0) (0,0.6,0) (0,0,2)\n"
             b'space origin: (1,2,3)\nspace units: "um" "um" "um"\n\n')  # fmt: skip
    (tmp_path / "b.nrrd").write_bytes(head + space + bytes(24))
    image = read_image(tmp_path / "b.nrrd")
    assert image.unit == "um"
    np.testing.assert_allclose(np.diag(image.grid.affine)[:3], [5e-4, 6e-4, 2e-3])
    np.testing.assert_allclose(image.grid.affine[:3, 3], [1e-3, 2e-3, 3e-3])


def test_files_that_hold_less_than_they_claim(tmp_path, itk, pixels):
    data = saved(itk, tmp_path / "a.mha", pixels).read_bytes()
    (tmp_path / "b.mha").write_bytes(data.replace(b"DimSize = 30", b"DimSize = 30000"))
    with pytest.raises(ImageError, match=r"b\.mha: it claims"):
        read_image(tmp_path / "b.mha")
    data = saved(itk, tmp_path / "a.nrrd", pixels).read_bytes()
    (tmp_path / "b.nrrd").write_bytes(data.replace(b"sizes: 30 20 3", b"sizes: 30 20 3000000"))
    with pytest.raises(ImageError, match=r"b\.nrrd: it "):
        read_image(tmp_path / "b.nrrd")
    (tmp_path / "c.nrrd").write_bytes(data[:-50])
    with pytest.raises(ImageError, match=r"c\.nrrd: .*damaged"):
        read_image(tmp_path / "c.nrrd")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("axes", ["YX", "ZYX", "XZY", "TZYX"])
def test_labels_come_back_where_they_were(tmp_path, itk, suffix, axes):
    shape = {"T": 2, "Z": 3, "Y": 4, "X": 5}
    labels = np.arange(np.prod([shape[a] for a in axes])).reshape([shape[a] for a in axes])
    labels = labels.astype(np.uint16)
    affine = np.eye(4)
    affine[:3, :3] = TURNED * [0.25, 0.5, 2.5]
    affine[:3, 3] = 10, -20, 5
    sizes = {"T": 3.0, "Z": 2.5, "Y": 0.5, "X": 0.25}
    grid = Grid.of(axes, sizes, "mm", affine=affine)
    recipe = {"checkpoint": "µ", "versions": {str(k): "1" * 20 for k in range(60)}}
    path = tmp_path / f"l{suffix}"
    write_labels(path, labels, recipe=recipe, grid=grid)
    back = read_label_file(path)
    order = "".join(a for a in "TZYX" if a in axes)
    assert back.axes.order == order
    np.testing.assert_array_equal(back.array, labels.transpose([axes.index(a) for a in order]))
    assert back.array.dtype == np.uint16
    if "Z" in axes:
        np.testing.assert_allclose(back.grid.affine, affine, atol=1e-9)
    assert back.spacing == pytest.approx([sizes[a] for a in order])
    assert read_recipe(path) == recipe


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    installed = builtins.__import__

    def without(name, *more):
        if name in ("SimpleITK", "mrcfile", "highdicom"):
            raise ImportError(name)
        return installed(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    for name in ("a.nrrd", "a.mhd", "a.mrc"):
        (tmp_path / name).write_bytes(b"NRRD0004\n")
        with pytest.raises(ImageError, match=rf"{name}: .*pip install 'napari-seglite\[medical\]'"):
            read_image(tmp_path / name)
    with pytest.raises(ImageError, match="highdicom"):
        write_labels(tmp_path / "l.dcm", np.zeros((2, 2), np.uint8))


# ------------------------------------------------------------------ MRC
@pytest.mark.parametrize("dtype", ["i1", "i2", "u2", "f4", "f2", ">i2"])
@pytest.mark.parametrize("name", ["a.mrc", "a.map", "a.rec"])
def test_maps_are_in_angstroms(tmp_path, mrcfile, pixels, dtype, name):
    values = (pixels % 100).astype(dtype)
    with mrcfile.new(tmp_path / name) as file:
        file.set_data(values)
        file.voxel_size = (1.5, 2.5, 10)
    image = read_image(tmp_path / name)
    np.testing.assert_array_equal(image.array, values)
    assert image.array.dtype.isnative
    assert (image.axes.order, image.unit) == ("ZYX", "Å")
    assert image.spacing == pytest.approx((10, 2.5, 1.5))


def test_flat_maps_series_and_damaged_maps(tmp_path, mrcfile, pixels):
    with mrcfile.new(tmp_path / "f.mrc") as file:
        file.set_data(pixels[0])
    assert read_image(tmp_path / "f.mrc").axes.order == "YX"
    assert read_image(tmp_path / "f.mrc").unit == "pixel"  # no size was stated
    with mrcfile.new(tmp_path / "t.mrc") as file:
        file.set_data(np.stack([pixels, pixels]))
    assert read_image(tmp_path / "t.mrc").axes.order == "TZYX"
    data = (tmp_path / "t.mrc").read_bytes()
    (tmp_path / "short.mrc").write_bytes(data[:-5000])
    with pytest.raises(ImageError, match=r"short\.mrc: "):
        read_image(tmp_path / "short.mrc")
    (tmp_path / "lies.mrc").write_bytes(np.int32(10**9).tobytes() + data[4:])
    with pytest.raises(ImageError, match=r"lies\.mrc: it claims"):
        read_image(tmp_path / "lies.mrc")
    with mrcfile.new(tmp_path / "z.mrc") as file:
        file.set_data((pixels * 1j).astype(np.complex64))
    with pytest.raises(ImageError, match="mode 4"):
        read_image(tmp_path / "z.mrc")
    (tmp_path / "text.map").write_text('{"version": 3, "mappings": ""}' * 100)
    with pytest.raises(ImageError, match=r"text\.map"):
        read_image(tmp_path / "text.map")
