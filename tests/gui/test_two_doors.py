"""A layer in the panel and a file in the shell are one image: axes, pixels, sizes, units."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
import zarr
from napari.components import ViewerModel
from napari.plugins import _npe2
from npe2 import PluginManifest
from skimage.io import imsave

from napari_seglite.formats import SUFFIXES, ImageFile, read_image
from napari_seglite.images import ImageAxes, micrometres
from napari_seglite.widgets.common import SourceFiles, layers
from napari_seglite.widgets.file_layers import facts, facts_of, file_placement, layer_unit
from napari_seglite.widgets.fine_tune.slices import whole_slices

ROOT = Path(__file__).parents[2]
GREY = np.random.default_rng(5).integers(0, 200, (40, 50), dtype=np.uint8)


def several(*shape):
    return np.random.default_rng(6).integers(0, 200, (*shape, 40, 50), dtype=np.uint8)


@pytest.fixture
def viewer(plugin_settings, npe2pm):
    """Return a viewer without a window, with napari's readers and this plugin's."""
    for package in ("napari", "napari-seglite"):
        npe2pm.register(PluginManifest.from_distribution(package))
    return ViewerModel()


# ------------------------------------------------------------------ what is offered
def test_the_manifest_offers_every_format():
    manifest = yaml.safe_load((ROOT / "napari_seglite" / "napari.yaml").read_text())
    assert manifest == yaml.safe_load((ROOT / "napari.yaml").read_text())
    (reader,) = manifest["contributions"]["readers"]
    lines = "".join(f'        - "*{end}"\n' for end in SUFFIXES)
    assert reader["filename_patterns"] == [f"*{end}" for end in SUFFIXES], f"should be\n{lines}"
    assert reader["accepts_directories"]


@pytest.mark.parametrize("name", ["a.tif", "A.TIF", "b.c.Nii.Gz", "d.zarr", "e.ome.Tiff", "f.PNG"])
def test_endings_in_any_case(viewer, name):
    assert "napari-seglite" in _npe2.get_readers(name)


# ------------------------------------------------------------------ our reader
def imagej(path, axes, shape, **metadata):
    tifffile.imwrite(
        path, several(*shape), imagej=True, resolution=(5, 4), metadata={"axes": axes, **metadata}
    )


def ome(path):
    metadata = {"axes": "CZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 0.3}
    metadata["Channel"] = {"Name": ["DAPI", "GFP"]}
    tifffile.imwrite(path, several(2, 3), metadata=metadata)


def nifti(path):
    import nibabel

    image = nibabel.Nifti1Image(several(3).T, np.diag([-0.5, -0.25, 2.0, 1]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def ome_zarr(path):
    group = zarr.create_group(path)
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    datasets = []
    for level, pixels in enumerate([several(2, 3), several(2, 3)[..., ::2, ::2]]):
        group.create_array(str(level), data=pixels)
        scale = {"type": "scale", "scale": [1, 300, 100 * 2**level, 50 * 2**level]}
        datasets.append({"path": str(level), "coordinateTransformations": [scale]})
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}


FILES = {
    "cyx.tif": lambda path: imagej(path, "CYX", (3,), unit="um"),
    "tyx.tif": lambda path: imagej(path, "TYX", (4,), finterval=3.0),
    "zcyx.TIF": lambda path: imagej(path, "ZCYX", (3, 2), unit="micron", spacing=2.0),
    "tzcyx.tif": lambda path: imagej(path, "TZCYX", (2, 3, 2), unit="nm", spacing=2.0),
    "czyx.ome.tif": ome,
    "plain.tiff": lambda path: tifffile.imwrite(path, GREY),
    "rgb.tif": lambda path: tifffile.imwrite(path, several(3).T.copy(), photometric="rgb"),
    "planar.tif": lambda path: tifffile.imwrite(
        path, several(3), photometric="rgb", planarconfig="separate"
    ),
    "a.b.png": lambda path: imsave(path, GREY, check_contrast=False),
    "rgb.jpg": lambda path: imsave(path, several(3).T.copy(), check_contrast=False),
    "rgb.bmp": lambda path: imsave(path, several(3).T.copy(), check_contrast=False),
    "brain.nii.gz": nifti,
    "brain.nii": nifti,
    "cells.zarr": ome_zarr,
}


def same(layer, image):
    """Whether a layer's pixels are those of an image, whatever the place of the channels."""
    order = layers.layer_axes(layer).order
    moved = np.asarray(image.array).transpose([image.axes.order.index(axis) for axis in order])
    return np.array_equal(layers.pixels(layer), moved)


@pytest.mark.parametrize("name", FILES)
def test_the_reader_sees_what_the_shell_sees(viewer, tmp_path, name):
    path = tmp_path / name
    FILES[name](path)
    image = read_image(path)
    (layer,) = viewer.open(path, plugin="napari-seglite")
    axes = layers.layer_axes(layer)
    assert axes.labels == image.axes.labels
    assert layers.axes_in_file(layer, axes.order) == image.axes.order
    assert layer.rgb == image.rgb
    assert same(layer, image)
    sizes, units = dict(zip(layer.axis_labels, layer.scale, strict=True)), layer.units
    for axis, size, unit in zip(image.axes.labels, image.spacing, image.units, strict=True):
        assert sizes[axis.lower()] == pytest.approx(size)
        assert units[layer.axis_labels.index(axis.lower())] == layer.units[0]._REGISTRY.Unit(unit)
    assert layers.pixel_size(layer) == micrometres(image.spacing, image.unit)


@pytest.mark.parametrize("name", [name for name in FILES if name.lower().endswith((".tif", "png"))])
def test_what_napari_opens_is_the_image_of_the_shell(viewer, tmp_path, name):
    path = tmp_path / name
    FILES[name](path)
    image = read_image(path)
    (layer,) = viewer.open(path, plugin="napari")
    assert layers.layer_axes(layer).order == image.axes.order
    assert same(layer, image)
    assert layers.pixel_size(layer) == micrometres(image.spacing, image.unit)


def test_channels_after_the_columns_are_a_slider_and_go_back(viewer, tmp_path):
    path = tmp_path / "five.tif"
    pixels = np.moveaxis(several(5), 0, -1)
    tifffile.imwrite(path, pixels, metadata={"axes": "YXC"}, photometric="minisblack")
    (layer,) = viewer.open(path, plugin="napari-seglite")
    assert layers.layer_axes(layer).order == "CYX"
    np.testing.assert_array_equal(layer.data[4], pixels[..., 4])
    assert layers.axes_in_file(layer, "CYX") == "YXC"


def test_notices_are_shown_once(viewer, tmp_path):
    from napari.utils.notifications import notification_manager

    with tifffile.TiffWriter(tmp_path / "two.ome.tif", ome=True) as writer:
        for _ in range(2):
            writer.write(GREY, metadata={"axes": "YX"})
    before = len(notification_manager.records)
    (layer,) = viewer.open(tmp_path / "two.ome.tif", plugin="napari-seglite")
    (told,) = list(notification_manager.records)[before:]
    assert "two:" in told.message
    assert "1 of 2" in told.message
    assert facts_of(layer).scenes == read_image(tmp_path / "two.ome.tif").scenes


# ------------------------------------------------------------------ which layer
LABELS = np.eye(30, dtype=np.uint16) * 7


@pytest.mark.parametrize("name", ["a.b_labels.tif", "a_masks.png", "a_cp_masks.tif", "c_Masks.TIF"])
def test_names_of_labels(viewer, tmp_path, name):
    imsave(tmp_path / name, LABELS, check_contrast=False)
    (layer,) = viewer.open(tmp_path / name, plugin="napari-seglite")
    assert type(layer).__name__ == "Labels"
    assert layer.name == name.rpartition(".")[0]
    np.testing.assert_array_equal(layer.data, LABELS)


@pytest.mark.parametrize("name", ["theatre_masks.png", "cells.png"])
def test_a_picture_stays_a_picture_whatever_its_name(viewer, tmp_path, name):
    imsave(tmp_path / name, several(3).T.copy(), check_contrast=False)
    (layer,) = viewer.open(tmp_path / name, plugin="napari-seglite")
    assert type(layer).__name__ == "Image"
    assert layer.rgb


def test_labels_of_whole_floats_and_of_bits(viewer, tmp_path):
    tifffile.imwrite(tmp_path / "a_labels.tif", LABELS.astype(np.float32))
    tifffile.imwrite(tmp_path / "b_labels.tif", LABELS > 0, photometric="minisblack")
    for name in "ab":
        (layer,) = viewer.open(tmp_path / f"{name}_labels.tif", plugin="napari-seglite")
        assert layer.data.dtype.kind == "u"
        np.testing.assert_array_equal(layer.data > 0, LABELS > 0)


# ------------------------------------------------------------------ where it lies
AFFINE = np.array([[-0.5, 0, 0, 12], [0, -0.25, 0, 30], [0, 0, 2, -7], [0, 0, 0, 1.0]])  # LPS
SHAPE = (3, 40, 50)


def placed(viewer, affine, order="ZYX"):
    """Return a layer of an image with an affine."""
    image = ImageFile.from_levels(
        [np.zeros(SHAPE)], order, {"X": 0.5, "Y": 0.25, "Z": 2.0}, "mm", affine=affine
    )
    return viewer.add_image(image.array, **file_placement(image, order))


def mirrored(affine, *axes):
    """Return the affine of the same image stored backwards along some of X, Y and Z."""
    flip = np.eye(4)
    for axis in axes:
        flip[axis, axis], flip[axis, 3] = -1, SHAPE[2 - axis] - 1
    return affine @ flip


@pytest.mark.parametrize("turn", ["straight", "oblique", "sagittal"])
@pytest.mark.parametrize("axes", [(0,), (0, 1), (2,), (0, 1, 2)])
def test_voxels_lie_on_their_mirrored_copies(viewer, turn, axes):
    rotation = np.eye(4)
    if turn == "oblique":
        c, s = np.cos(0.3), np.sin(0.3)
        rotation[1:3, 1:3] = [[c, -s], [s, c]]
    elif turn == "sagittal":
        rotation[:3, :3] = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    image = placed(viewer, rotation @ AFFINE)
    other = placed(viewer, mirrored(rotation @ AFFINE, *axes))
    np.testing.assert_allclose(image.extent.world, other.extent.world)
    voxel = np.array([1, 5, 20])
    there = [SHAPE[k] - 1 - n if 2 - k in axes else n for k, n in enumerate(voxel)]
    np.testing.assert_allclose(image.data_to_world(voxel), other.data_to_world(there))
    viewer.dims.set_point(0, image.data_to_world(voxel)[0])
    for layer, z in ((image, 1), (other, there[0])):  # napari can slice both
        assert round(float(layer.world_to_data(viewer.dims.point)[0])) == z


def test_training_reads_mirrored_labels_as_the_image_lies(viewer):
    image, other = placed(viewer, AFFINE), placed(viewer, mirrored(AFFINE, 1, 2))
    values = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.uint16)
    labels = viewer.add_labels(values[::-1, ::-1], **layers.placement(other, ImageAxes("ZYX")))
    assert layers.mirrored_axes(labels, image) == (0, 1)
    assert layers.mirrored_axes(labels, other) == ()
    np.testing.assert_array_equal(whole_slices(image, labels, "all", 0).labels, values)


def test_the_patient_is_seen_as_radiologists_do(viewer):
    layer = placed(viewer, AFFINE)
    world = np.array(layer.data_to_world((1, 5, 20)))
    right, front, head = (AFFINE @ [20, 5, 1, 1])[:3]
    np.testing.assert_allclose(world, [head, -front, -right])
    sagittal = np.zeros((4, 4))
    sagittal[1, 0], sagittal[2, 1], sagittal[0, 2], sagittal[3, 3] = 1, 1, 1, 1
    layer = placed(viewer, sagittal)  # Y leads to the head, which is to be on top
    assert layer.data_to_world((0, 9, 0))[1] < layer.data_to_world((0, 0, 0))[1]


def test_units_that_napari_does_not_know():
    found = [layer_unit(unit) for unit in ("um", "Å", "s", "reference frame", "pixel", "kg")]
    assert found == ["um", "Å", "s", "pixel", "pixel", "pixel"]


# ------------------------------------------------------------------ layers that napari opened
@pytest.fixture
def stack(tmp_path):
    """Return an ImageJ stack of slices 2 um apart, with pixels of 0.25 x 0.2 um."""
    imagej(tmp_path / "stack.tif", "ZYX", (3,), unit="um", spacing=2.0)
    return tmp_path / "stack.tif"


def test_what_lies_on_an_image_goes_with_it(viewer, stack):
    (image,) = viewer.open(stack, plugin="napari")
    labels = viewer.add_labels(np.ones((3, 40, 50), np.uint8))
    points = viewer.add_points([[1, 20, 30]])
    viewer.dims.set_point(0, 2)
    viewer.camera.center, viewer.camera.zoom = (0, 10, 20), 8
    SourceFiles(viewer)
    assert tuple(image.scale) == pytest.approx((2, 0.25, 0.2))
    assert [str(unit) for unit in image.units] == ["micrometer"] * 3
    assert image.axis_labels == labels.axis_labels == ("z", "y", "x")
    np.testing.assert_allclose(labels.extent.world, image.extent.world)
    np.testing.assert_allclose(points.data_to_world((1, 20, 30)), image.data_to_world((1, 20, 30)))
    assert viewer.dims.current_step[0] == 2
    np.testing.assert_allclose(viewer.camera.center[1:], (2.5, 4))
    assert viewer.camera.zoom == pytest.approx(40)


def test_the_choices_of_the_user_are_kept(viewer, stack):
    files = SourceFiles(viewer)
    (image,) = viewer.open(stack, plugin="napari", scale=(7, 1, 1), axis_labels=("t", "y", "x"))
    assert not files.busy
    assert tuple(image.scale) == (7, 1, 1)
    assert image.axis_labels == ("t", "y", "x")
    assert layers.layer_axes(image).order == "TYX"
    (other,) = viewer.open(stack, plugin="napari")
    layers.choose(other, axes="TYX")
    assert layers.layer_axes(other).order == "TYX"


def test_other_pixels_than_the_file_s_are_not_its(viewer, stack):
    (image,) = viewer.open(stack, plugin="napari")
    image.data = np.asarray(image.data)[:, ::-1].copy()
    assert facts_of(image) is None
    assert layers.pixel_size(image) is None


def test_large_files_are_read_in_the_background(viewer, stack, qtbot, monkeypatch):
    monkeypatch.setattr(facts, "QUICK_FILE", 0)
    files = SourceFiles(viewer)
    with qtbot.waitSignal(files.found, timeout=60_000):
        (image,) = viewer.open(stack, plugin="napari")
        assert files.busy
        assert tuple(image.scale) == (1, 1, 1)
    assert tuple(image.scale) == pytest.approx((2, 0.25, 0.2))
    assert layers.layer_axes(image).order == "ZYX"
    qtbot.waitUntil(lambda: not files.busy, timeout=60_000)
