"""Files of other programs: what is written by their own libraries is read as it was."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr

from napari_seglite import SegmentRequest, segment
from napari_seglite.cli import main
from napari_seglite.errors import ImageError
from napari_seglite.formats import (
    list_images,
    read_image,
    read_labels,
    read_recipe,
    stem,
    tiff,
    write_labels,
)
from napari_seglite.images import Grid


@pytest.fixture
def stack():
    """Return an image uint16 (4, 20, 30)."""
    return np.random.default_rng(0).integers(0, 4000, (4, 20, 30), np.uint16)


def ome_zarr(path, levels, axes, scale, version):
    """Write an OME-Zarr image by hand, as the specification has it."""
    group = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for k, level in enumerate(levels):
        group.create_array(str(k), data=level)
        steps = [s * levels[0].shape[i] / level.shape[i] for i, s in enumerate(scale)]
        transforms = [{"type": "scale", "scale": steps}]
        datasets.append({"path": str(k), "coordinateTransformations": transforms})
    named = [
        {"name": a, "type": {"t": "time", "c": "channel"}.get(a, "space")}
        | ({"unit": "micrometer"} if a in "zyx" else {})
        for a in axes
    ]
    scales = {"axes": named, "datasets": datasets}
    if version == "0.4":
        group.attrs["multiscales"] = [{**scales, "version": "0.4"}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [scales]}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_with_levels_channels_and_scale(tmp_path, stack, version):
    levels = [stack[None, None], stack[None, None, :, ::2, ::2]]
    ome_zarr(tmp_path / "a.ome.zarr", levels, "tczyx", (1, 1, 2.5, 0.5, 0.25), version)
    image = read_image(tmp_path / "a.ome.zarr")
    assert image.axes.order == "ZYX"  # axes of one entry are gone
    assert image.spacing == (2.5, 0.5, 0.25)
    assert image.unit == "um"
    assert len(image.levels) == 2
    np.testing.assert_array_equal(np.asarray(image.levels[1]), stack[:, ::2, ::2])
    assert image.spacing_at(1) == (2.5, 1.0, 0.5)
    assert stem(tmp_path / "a.ome.zarr") == "a"
    assert list_images(tmp_path) == [tmp_path / "a.ome.zarr"]


def test_a_zarr_array_that_says_nothing(tmp_path, stack):
    zarr.save_array(tmp_path / "plain.zarr", stack)
    image = read_image(tmp_path / "plain.zarr")
    assert image.axes.order == "ZYX"
    np.testing.assert_array_equal(np.asarray(image.array), stack)


def test_an_empty_zarr_and_an_empty_folder_are_named(tmp_path):
    zarr.create_group(tmp_path / "none.zarr")
    with pytest.raises(ImageError, match=r"none\.zarr: .*no OME-Zarr image"):
        read_image(tmp_path / "none.zarr")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ImageError, match="folder: the folder holds neither a Zarr nor a DICOM"):
        read_image(tmp_path / "folder")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_as_ome_zarr_come_back_with_levels(tmp_path, version):
    from napari_seglite.formats import ome_zarr_labels as writer

    labels = np.arange(2 * 1030 * 700).reshape(2, 1030, 700).astype(np.uint32)
    path = tmp_path / "l_labels.zarr"
    grid = Grid("ZYX", (2.0, 0.5, 0.25), ("um",) * 3)
    writer.write(path, labels, {"a": [1]}, grid, version=version)
    image = read_image(path)
    np.testing.assert_array_equal(np.asarray(image.array), labels)
    assert image.array.dtype == np.uint32
    assert (image.axes.order, image.spacing, image.unit) == ("ZYX", (2.0, 0.5, 0.25), "um")
    assert read_recipe(path) == {"a": [1]}
    assert [level.shape for level in image.levels] == [(2, 1030, 700), (2, 515, 350), (2, 258, 175)]
    np.testing.assert_array_equal(np.asarray(image.levels[2]), labels[:, ::4, ::4])
    attributes = json.loads((path / (".zattrs" if version == "0.4" else "zarr.json")).read_text())
    found = attributes if version == "0.4" else attributes["attributes"]["ome"]
    assert found["image-label"] == {"version": version}
    write_labels(path, labels[:, :8], axes="ZYX")  # its own may be written anew
    assert read_labels(path).shape == (2, 8, 700)
    zarr.create_group(tmp_path / "theirs_labels.zarr")
    with pytest.raises(ImageError, match="SegLite did not write"):
        write_labels(tmp_path / "theirs_labels.zarr", labels)


def test_the_shell_writes_ome_zarr(tmp_path, blobs, untrained):
    ome_zarr(tmp_path / "a.zarr", [blobs[0], blobs[0][::2, ::2]], "yx", (0.5, 0.25), "0.5")
    words = ["segment", str(tmp_path / "a.zarr"), "--checkpoint", untrained.id, "--device", "cpu"]
    assert main([*words, "--output", str(tmp_path), "--level", "1", "--format", "zarr"]) == 0
    found = read_image(tmp_path / "a_labels.zarr")
    request = SegmentRequest(untrained.id, "YX", device="cpu")
    np.testing.assert_array_equal(
        np.asarray(found.array), segment(blobs[0][::2, ::2], request).labels
    )
    assert found.spacing == (1.0, 0.5)
    assert read_recipe(tmp_path / "a_labels.zarr")["level"] == 1


def test_ome_tiff_spacing(tmp_path, stack):
    metadata = {
        "axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5,
        "PhysicalSizeYUnit": "µm", "PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "µm",
    }  # fmt: skip
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata=metadata)
    image = read_image(tmp_path / "a.ome.tif")
    assert (image.axes.order, image.spacing, image.unit) == ("ZYX", (2.0, 0.5, 0.25), "um")


def test_a_tiff_pyramid_has_levels(tmp_path, stack):
    with tifffile.TiffWriter(tmp_path / "p.tif") as file:
        file.write(stack[0], subifds=1, tile=(16, 16))
        file.write(stack[0][::2, ::2], subfiletype=1, tile=(16, 16))
    image = read_image(tmp_path / "p.tif")
    assert [level.shape for level in image.levels] == [(20, 30), (10, 15)]


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_a_large_tiff_is_read_piece_by_piece(tmp_path, stack, monkeypatch, compression, bigtiff):
    monkeypatch.setattr(tiff, "LAZY_BYTES", 1000)
    path = tmp_path / "big.tif"
    tifffile.imwrite(
        path, stack, photometric="minisblack", compression=compression, bigtiff=bigtiff
    )
    image = read_image(path)
    assert isinstance(image.array, zarr.Array)
    assert image.axes.order == "ZYX"
    np.testing.assert_array_equal(image.axes.frame(image.array, 2)[0], stack[2])


def test_czi_with_channels_and_slices(tmp_path, stack):
    czi = pytest.importorskip("pylibCZIrw.czi", reason="pylibCZIrw is not installed")
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for z in range(2):
            for c in range(2):
                file.write(stack[2 * z + c][..., None], plane={"Z": z, "C": c})
        file.write_metadata("a", scale_x=0.25e-6, scale_y=0.5e-6, scale_z=2e-6)
    image = read_image(tmp_path / "a.czi")
    assert image.axes.order == "ZCYX"
    np.testing.assert_array_equal(image.array, stack.reshape(2, 2, 20, 30))
    assert image.spacing == pytest.approx((2.0, 0.5, 0.25))


@pytest.mark.parametrize("name", ["a.czi", "a.nd2", "a.lif", "a.nii", "a.dcm", "a_seg.npy"])
def test_what_is_not_what_it_says_is_named(tmp_path, name):
    (tmp_path / name).write_text("cell 1 is fine")
    with pytest.raises(ImageError, match=name):
        read_image(tmp_path / name)


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_cellpose_masks_are_read_and_nothing_is_run(tmp_path):
    masks = (np.arange(600).reshape(20, 30) % 7).astype(np.uint16)
    result = {
        "outlines": masks > 3, "masks": masks, "filename": "a.tif", "chan_choose": [0, 0],
        "ismanual": np.zeros(6, bool), "flows": [np.zeros((2, 3), np.float32), []], "img": None,
        "est_diam": np.float32(30.5), "colors": np.zeros((6, 3)), "evil": Evil(tmp_path / "evil"),
    }  # fmt: skip
    np.save(tmp_path / "a_seg.npy", result, allow_pickle=True)
    np.testing.assert_array_equal(read_labels(tmp_path / "a_seg.npy"), masks)
    assert stem(tmp_path / "a_seg.npy") == "a"
    for stack in (np.asfortranarray(masks), np.stack([masks] * 3).astype(np.int32)):
        np.save(tmp_path / "a_seg.npy", {"masks": stack}, allow_pickle=True)
        np.testing.assert_array_equal(read_labels(tmp_path / "a_seg.npy"), stack)
    for wrong in ({"masks": Evil(tmp_path / "evil")}, {"outlines": masks}, [masks]):
        np.save(tmp_path / "b_seg.npy", np.array(wrong, object), allow_pickle=True)
        with pytest.raises(ImageError, match=r"b_seg\.npy: the file is not a Cellpose result"):
            read_image(tmp_path / "b_seg.npy")
    assert not (tmp_path / "evil").exists()


def test_libraries_are_imported_only_for_their_files():
    heavy = {"zarr", "nibabel", "pydicom", "torch"}
    code = f"import sys, napari_seglite.formats.read_write; print({heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
