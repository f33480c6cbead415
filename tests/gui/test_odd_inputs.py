"""Whatever is dropped into the viewer or named as a file ends in labels or in one sentence."""

import shutil
import zipfile
from pathlib import Path

import dask.array
import numpy as np
import pytest
import tifffile
import zarr
from skimage.io import imsave

from napari_seglite.formats import read_labels
from napari_seglite.widgets import sample_data

N = sample_data.load("fluorescence")[0][:96, :128].copy()
F = N.astype(np.float32)


def with_value(value, where=np.s_[10:14, 20:30]):
    image = F.copy()
    image[where] = value
    return image


def broken():
    """Return a stack the last slice of which cannot be read."""

    def fail(block, block_info=None):
        if block_info and block_info[0]["chunk-location"][0] == 2:
            raise OSError("the disk is gone")
        return block

    stack = dask.array.from_array(np.stack([N] * 3), chunks=(1, 96, 128))
    return stack.map_blocks(fail, dtype=N.dtype)


# Name -> array, arguments of add_image, and the shape of the labels or what the panel says.
LAYERS = {
    "one pixel": (np.ones((1, 1), np.uint8), {}, (1, 1)),
    "one row": (N[:1], {}, (1, 128)),
    "two by two": (N[:2, :2], {}, (2, 2)),
    "odd size": (N[:95, :127], {}, (95, 127)),
    "long and thin": (np.tile(N[:3], (1, 6)), {}, (3, 768)),
    "some NaN": (with_value(np.nan), {}, (96, 128)),
    "infinities": (with_value(-np.inf), {}, (96, 128)),
    "all NaN": (F * np.nan, {}, "no finite number"),
    "constant": (np.full((40, 50), 7, np.uint16), {}, (40, 50)),
    "all zero": (np.zeros((40, 50), np.float32), {}, (40, 50)),
    "one bright pixel": (with_value(1e6, np.s_[3, 3]), {}, (96, 128)),
    "float64": (F.astype(np.float64) / 7 - 3, {}, (96, 128)),
    "float16": (F.astype(np.float16), {}, (96, 128)),
    "huge floats": (F * 1e36, {}, (96, 128)),
    "tiny floats": (F * 1e-40, {}, (96, 128)),
    "negative integers": (N.astype(np.int32) - 500, {}, (96, 128)),
    "int64": (N.astype(np.int64) * 10**14, {}, (96, 128)),
    "uint16": (N.astype(np.uint16) * 200, {}, (96, 128)),
    "uint32": (N.astype(np.uint32) * 10**7, {}, (96, 128)),
    "uint64": (N.astype(np.uint64) * 10**16, {}, (96, 128)),
    "other byte order": (N.astype(">u2"), {}, (96, 128)),
    "boolean": (N > 40, {}, (96, 128)),
    "RGB": (np.stack([N] * 3, -1), {}, (96, 128)),
    "RGBA": (np.stack([N, N, N, N * 0 + 255], -1), {}, (96, 128)),
    "RGB of floats": (np.stack([F / 255] * 3, -1), {}, (96, 128)),
    "RGB stack": (np.stack([np.stack([N] * 3, -1)] * 2), {"rgb": True}, (2, 96, 128)),
    "one slice": (N[None], {}, (1, 96, 128)),
    "series of stacks": (np.stack([np.stack([N, N])] * 2), {}, (2, 2, 96, 128)),
    "five axes": (N[None, None, None], {}, "say what its axes are"),
    "channels": (np.stack([N, N]), {"axis_labels": ("c", "y", "x")}, (96, 128)),
    "turned": (N.T, {}, (128, 96)),
    "upside down": (N[::-1, ::-1], {}, (96, 128)),
    "column by column": (np.asfortranarray(N), {}, (96, 128)),
    "turned and sheared": (N, {"rotate": 30, "shear": [0.2], "scale": (2, 0.5)}, (96, 128)),
    "dask": (dask.array.from_array(N, chunks=(31, 50)), {}, (96, 128)),
    "dask that fails": (broken(), {"contrast_limits": (0, 255)}, "the disk is gone"),
    "zarr": (zarr.array(N, chunks=(40, 40)), {}, (96, 128)),
    "levels": ([N, N[::2, ::2]], {"multiscale": True}, (96, 128)),
}


def test_layers(viewer, dock, segment):
    """All in one window, which must survive them all."""
    panel = dock.segment_panel
    always = viewer.add_image(N)
    for name, (array, options, expected) in LAYERS.items():
        layer = viewer.add_image(array, name=f"the {name} one", **options)
        panel.form.image_rows.box.value = layer
        before = list(viewer.layers)
        segment()
        told = panel.status.text()
        added = [found for found in viewer.layers if found not in before]
        if isinstance(expected, tuple):
            assert [found.data.shape for found in added] == [expected], f"{name}: {told}"
        else:
            assert not added, name
            assert layer.name in told, f"{name}: {told}"
            assert expected in told, f"{name}: {told}"
            assert told.count(". ") <= 2, f"{name}: {told}"
        assert not panel.busy, name
        assert panel.segment_button.isEnabled(), name
        for other in [found for found in viewer.layers if found != always]:
            viewer.layers.remove(other)
    panel.form.image_rows.box.value = always
    assert segment().data.any()


@pytest.fixture
def files(tmp_path):
    """Return files by name, and the shape of the labels or what is said about the file."""
    folder = tmp_path / "files"
    folder.mkdir()
    whole = folder / "whole.tif"
    tifffile.imwrite(whole, N)
    truncated = whole.read_bytes()[:3000]
    for name in ("truncated.tif", "truncated.dcm", "truncated.nii.gz", "truncated.czi"):
        (folder / name).write_bytes(truncated)
    for name in ("text.tif", "text.png", "text.nii", "text.dcm", "text.czi", "a.xyz"):
        (folder / name).write_text("this is no image")
    for name in ("nothing.tif", "nothing.png"):
        (folder / name).touch()
    with zipfile.ZipFile(folder / "zip.tif", "w") as archive:
        archive.writestr("a", "b")
    (folder / "no.zarr").mkdir()
    (folder / "folder.tif").mkdir()
    np.save(folder / "pickled.npy", np.array([{"a": 1}]), allow_pickle=True)
    tifffile.imwrite(folder / "lzw.tif", N, compression="lzw")
    tifffile.imwrite(folder / "big.tif", N, bigtiff=True)
    tifffile.imwrite(folder / "bits.tif", N > 40)
    tifffile.imwrite(folder / "complex.tif", F.astype(np.complex64))
    tifffile.imwrite(folder / "nan.tif", F * np.nan)
    with tifffile.TiffWriter(folder / "pages.tif") as writer:
        writer.write(N)
        writer.write(N[:50])
    imsave(folder / "sixteen.png", N.astype(np.uint16) * 200, check_contrast=False)
    imsave(folder / "alpha.png", np.stack([N, N * 0 + 255], -1), check_contrast=False)
    imsave(folder / "lossy.jpg", N, check_contrast=False)
    shutil.copy(whole, folder / "spaces and ünïcode.tif")
    return folder, {
        **dict.fromkeys(
            ("lzw.tif", "big.tif", "bits.tif", "sixteen.png", "alpha.png", "lossy.jpg",
             "spaces and ünïcode.tif", "pages.tif"),
            (96, 128),
        ),
        "complex.tif": "images of complex64 are not read",
        "nan.tif": "no finite number",
        "missing.tif": "no such file",
        "a.xyz": "",
        "folder.tif": "",
        "no.zarr": "",
        "pickled.npy": "",
        **dict.fromkeys(
            ("truncated.tif", "truncated.dcm", "truncated.nii.gz", "truncated.czi", "text.tif",
             "text.png", "text.nii", "text.dcm", "text.czi", "nothing.tif", "nothing.png",
             "zip.tif"),
            "",
        ),
    }  # fmt: skip


def test_files(dock, files, qtbot, click, tmp_path):
    folder, expected = files
    panel = dock.batch_panel
    panel.set_files([folder / name for name in expected])
    panel.folder.setText(str(tmp_path / "out"))
    click(panel.start_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=300_000)
    for position, (name, outcome) in enumerate(expected.items()):
        item = panel.list.item(position)
        told = item.toolTip()
        if isinstance(outcome, tuple):
            assert item.text().startswith(f"✓ {name}  ("), told
            labels = read_labels(tmp_path / "out" / f"{Path(name).stem}_labels.tif")
            assert labels.shape == outcome, name
        else:
            assert item.text() == f"✗ {name}", told
            assert name in told
            assert outcome in told
            assert told.count(". ") - told.count(name) <= 2, told
            assert "Traceback" not in told
            assert told.endswith("."), told
    done = sum(isinstance(outcome, tuple) for outcome in expected.values())
    assert panel.status.text().startswith(f"{done} of {len(expected)} files segmented")
