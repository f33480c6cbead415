import json

import numpy as np
import pandas as pd
import pytest
import roifile
import tifffile
from skimage.draw import polygon2mask
from skimage.io import imsave

from napari_seglite.cli import main
from napari_seglite.errors import ImageError
from napari_seglite.formats import write_labels, write_rois
from napari_seglite.formats.exports import coco
from napari_seglite.labels import measure


@pytest.fixture
def labels():
    """Return three objects: a rectangle, a ring with a hole, and one in two parts."""
    found = np.zeros((30, 40), np.uint16)
    found[2:8, 3:15] = 4
    found[12:25, 3:15] = 7
    found[16:20, 7:11] = 0
    found[5:9, 25:30] = 9
    found[20:22, 33:38] = 9
    return found


def test_imagej_regions_cover_the_pixels(labels, tmp_path):
    assert write_rois(tmp_path / "r.zip", labels) == 4
    regions = roifile.roiread(tmp_path / "r.zip")
    assert sorted(r.name for r in regions) == ["00004", "00007", "00009", "00009-2"]
    covered = np.zeros(labels.shape, int)
    for region in regions:
        # Whole coordinates are corners of pixels; a pixel's centre lies half a pixel inside.
        corners = region.coordinates()[:, ::-1] - 0.5
        covered += int(region.name[:5]) * polygon2mask(labels.shape, corners)
    filled = labels.copy()
    filled[16:20, 7:11] = 7
    np.testing.assert_array_equal(covered, filled)
    rectangle = next(r for r in regions if r.name == "00004")
    assert sorted(map(tuple, rectangle.coordinates().tolist())) == [
        (3, 2),
        (3, 8),
        (15, 2),
        (15, 8),
    ]


def test_regions_of_a_stack_know_their_slice(labels, tmp_path):
    stack = np.stack([labels, labels * 0, labels * (labels == 4)])
    assert write_rois(tmp_path / "r.zip", stack) == 5
    assert [r.position for r in roifile.roiread(tmp_path / "r.zip")] == [1, 1, 1, 1, 3]
    with pytest.raises(ImageError, match="no object"):
        write_rois(tmp_path / "none.zip", labels * 0)
    assert not (tmp_path / "none.zip").exists()


def test_coco_masks_are_exact(labels):
    entries = coco({"a.png": labels}, "cell")
    assert entries["categories"] == [{"id": 1, "name": "cell"}]
    assert entries["images"] == [{"id": 1, "file_name": "a.png", "height": 30, "width": 40}]
    for entry, number in zip(entries["annotations"], (4, 7, 9), strict=True):
        height, width = entry["segmentation"]["size"]
        values = np.arange(len(entry["segmentation"]["counts"])) % 2
        flat = np.repeat(values, entry["segmentation"]["counts"])
        mask = flat.reshape(width, height).T
        np.testing.assert_array_equal(mask, labels == number)
        assert entry["area"] == (labels == number).sum()
    assert entries["annotations"][0]["bbox"] == [3, 2, 12, 6]
    full = coco({"b.png": np.ones((2, 2), int)})
    assert full["annotations"][0]["segmentation"]["counts"] == [0, 4]
    with pytest.raises(ImageError, match="flat images"):
        coco({"c.tif": np.ones((2, 2, 2), int)})


def test_measurements(labels):
    image = labels * 10.0
    table = measure(labels, image, spacing=(0.5, 2))
    assert table["label"].tolist() == [4, 7, 9]
    row = table.iloc[0]
    assert row["area"] == 6 * 12 * 0.5 * 2
    assert (row["centroid_y"], row["centroid_x"]) == (4.5 * 0.5, 8.5 * 2)
    assert row["intensity_mean"] == 40
    assert "eccentricity" in table
    volume = measure(np.stack([labels, labels]), spacing=(3, 1, 1))
    assert volume["volume"].tolist() == [72 * 6, (156 - 16) * 6, 30 * 6]
    assert {"centroid_z", "solidity"} < set(volume.columns)
    assert measure(labels * 0).empty
    with pytest.raises(ValueError, match="cannot be measured"):
        measure(labels, image[1:])


def test_from_a_shell(labels, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    imsave(tmp_path / "images" / "a.png", (labels * 10).astype(np.uint8), check_contrast=False)
    path = tmp_path / "a_labels.tif"
    write_labels(path, labels, spacing=(0.5, 0.5), unit="um")
    (tmp_path / "bad.tif").write_text("no image")
    tifffile.imwrite(tmp_path / "empty.tif", labels * 0)
    out = tmp_path / "out"
    words = [str(path), "--output", str(out), "--rois", "--coco", "--table"]
    assert main(["export", *words, "--images", str(tmp_path / "images")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert len(roifile.roiread(out / "a_rois.zip")) == 4
    table = pd.read_csv(out / "a_objects.csv")
    assert table["area"].tolist() == [72 / 4, 140 / 4, 30 / 4]
    assert table["intensity_max"].tolist() == [40, 70, 90]
    assert len(json.loads((out / "coco.json").read_text())["annotations"]) == 3

    assert main(["export", str(tmp_path / "bad.tif"), *words]) == 1
    assert str(tmp_path / "bad.tif") in capsys.readouterr().err
    assert main(["export", str(tmp_path / "empty.tif"), "--output", str(out), "--rois"]) == 1
    assert main(["export", str(path), "--output", str(out)]) == 1
    assert "Say what to write" in capsys.readouterr().err
