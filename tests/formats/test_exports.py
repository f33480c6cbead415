import json

import numpy as np
import pandas as pd
import pytest
import roifile
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from imagej import filled
from skimage.io import imsave

from napari_seglite.cli import main
from napari_seglite.errors import ImageError
from napari_seglite.formats import write_labels, write_rois
from napari_seglite.formats.exports import CocoAnnotations, coco
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


def regions_of(path, shape):
    """Read a zip of regions back as labels ``(H, W)``, by their names."""
    labels = np.zeros(shape, np.int64)
    for region in roifile.roiread(path):
        mask = filled(region, shape)
        assert not labels[mask].any()
        labels[mask] = int(region.name.split("-")[-1])
    return labels


def coco_labels(entries, image_id):
    """Decode the masks of an image as labels ``(H, W)``."""
    image = next(entry for entry in entries["images"] if entry["id"] == image_id)
    labels = np.zeros((image["height"], image["width"]), np.int64)
    for entry in entries["annotations"]:
        if entry["image_id"] != image_id:
            continue
        height, width = entry["segmentation"]["size"]
        counts = entry["segmentation"]["counts"]
        mask = np.repeat(np.arange(len(counts)) % 2, counts).reshape(width, height).T.astype(bool)
        assert sum(counts) == labels.size
        assert all(counts[1:])
        assert entry["area"] == mask.sum()
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        size = [columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
        assert entry["bbox"] == [columns[0], rows[0], *size]
        assert not labels[mask].any()
        labels[mask] = entry["label"]
    return labels


def test_imagej_regions_cover_the_pixels(labels, tmp_path):
    assert write_rois(tmp_path / "r.zip", labels) == 3
    regions = {r.name: r for r in roifile.roiread(tmp_path / "r.zip")}
    assert sorted(regions) == ["00004", "00007", "00009"]
    np.testing.assert_array_equal(regions_of(tmp_path / "r.zip", labels.shape), labels)
    corners = sorted(map(tuple, regions["00004"].coordinates().tolist()))
    assert corners == [(3, 2), (3, 8), (15, 2), (15, 8)]
    assert [regions[name].composite for name in sorted(regions)] == [False, True, True]
    ring = regions["00007"]
    assert (ring.top, ring.left, ring.bottom, ring.right) == (12, 3, 25, 15)
    with pytest.raises(ImageError, match="no object"):
        write_rois(tmp_path / "none.zip", labels * 0)
    assert not (tmp_path / "none.zip").exists()


DRAWINGS = {
    "an island in a hole": """
        AAAAAAA
        A.....A
        A.AAA.A
        A.A.A.A
        A.AAA.A
        A.....A
        AAAAAAA""",
    "pixels that touch at corners": """
        A.A.
        .A.B
        A.B.""",
    "a hole that touches the outside at a corner": """
        AAA.
        A.AA
        AA.A
        .AAA""",
    "single pixels at the border": """
        A..B
        ....
        C..D""",
    "the whole image": """
        AA
        AA""",
    "an object in another's hole, split by a third": """
        AAAAAA
        ABBBBA
        CCCCCC
        ABB.BA
        AAAAAA""",
}


@pytest.mark.parametrize("drawing", DRAWINGS.values(), ids=DRAWINGS)
def test_shapes_survive_to_the_pixel(drawing, tmp_path):
    rows = drawing.split()
    labels = np.array([[".ABCD".index(letter) for letter in row] for row in rows], np.uint8)
    check_round_trips(labels, tmp_path)


@given(
    arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)),
    st.sampled_from([np.uint8, np.uint16, np.uint32, np.int32, np.int64, np.float64]),
)
@settings(max_examples=40, deadline=None)
def test_any_labels_survive_to_the_pixel(tmp_path_factory, labels, dtype):
    if dtype is not np.float64:
        numbers = {np.uint8: (0, 1, 128, 255), np.uint16: (0, 300, 1, 65535)}
        labels = np.array(numbers.get(dtype, (0, 70_000, -1, 2**31 - 1)))[labels].astype(dtype)
    else:
        labels = labels > 1  # a mask
    check_round_trips(labels, tmp_path_factory.getbasetemp())


def check_round_trips(labels, folder):
    expected = np.maximum(labels, 0).astype(np.int64)
    entries = coco({"a.png": labels})
    np.testing.assert_array_equal(coco_labels(entries, 1), expected)
    table = measure(labels)
    numbers, areas = np.unique(expected[expected > 0], return_counts=True)
    assert table["label"].tolist() == numbers.tolist()
    assert table["area"].tolist() == areas.tolist()
    if expected.any():
        assert write_rois(folder / "r.zip", labels) == len(numbers)
        np.testing.assert_array_equal(regions_of(folder / "r.zip", labels.shape), expected)


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "TZYX", "YXT", "ZTYX", "XYZ"])
def test_regions_and_coco_of_stacks_know_their_place(labels, axes, tmp_path):
    sizes = {"T": 3, "Z": 2, "Y": 30, "X": 40}
    order = [axis for axis in "TZYX" if axis in axes]
    stack = np.zeros([sizes[axis] for axis in order], np.uint16)
    stack[(-1,) * (stack.ndim - 2)] = labels
    stack[(0,) * (stack.ndim - 2)] = labels * (labels == 4)
    turned = stack.transpose([order.index(axis) for axis in axes])
    assert write_rois(tmp_path / "r.zip", turned, axes) == 4
    read = roifile.roiread(tmp_path / "r.zip")
    last = {"T": 3 if "T" in axes else 0, "Z": 2 if "Z" in axes else 0}
    assert [(r.t_position, r.z_position, r.c_position) for r in read] == [
        (min(last["T"], 1), min(last["Z"], 1), 0),
        *[(last["T"], last["Z"], 0)] * 3,
    ]
    single = len(axes) == 3
    count = stack.size // labels.size
    assert [r.position for r in read] == ([1, count, count, count] if single else [0] * 4)
    # ImageJ's own form of names, which tells the slice of a stack: slice-y-x.
    assert [r.name for r in read[:2]] == ["0001-0005-0009-00004", f"{count:04d}-0005-0009-00004"]
    assert (filled(read[2], labels.shape) == (labels == 7)).all()

    annotations = CocoAnnotations()
    annotations.add("film.tif", turned, axes)
    images = annotations.data["images"]
    assert {image["file_name"] for image in images} == {"film.tif"}
    assert [image["frame"] for image in images] == list(range(count))
    keys = [axis for axis in order if axis in "TZ"]
    for image, place in zip(images, np.ndindex(stack.shape[:-2]), strict=True):
        assert [image[key.lower()] for key in keys] == list(place)
        np.testing.assert_array_equal(coco_labels(annotations.data, image["id"]), stack[place])


def test_coco_names_categories(labels):
    entries = coco({"a.png": labels}, "cell")
    assert entries["categories"] == [{"id": 1, "name": "cell"}]
    assert entries["images"] == [{"id": 1, "file_name": "a.png", "height": 30, "width": 40}]
    assert entries["annotations"][0]["bbox"] == [3, 2, 12, 6]
    full = coco({"b.png": np.ones((2, 2), int)}, categories=("nucleus", "cell"))
    assert full["annotations"][0]["segmentation"]["counts"] == [0, 4]
    assert [c["name"] for c in full["categories"]] == ["nucleus", "cell"]
    with pytest.raises(ImageError, match="axes"):
        coco({"c.tif": np.ones((2, 2, 2, 2, 2), int)})


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
    assert len(roifile.roiread(out / "a_rois.zip")) == 3
    table = pd.read_csv(out / "a_objects.csv")
    assert table["area"].tolist() == [72 / 4, 140 / 4, 30 / 4]
    assert table["intensity_max"].tolist() == [40, 70, 90]
    assert set(table["length_unit"]) == {"um"}
    entries = json.loads((out / "coco.json").read_text())
    assert entries["images"][0]["file_name"] == "a.png"
    np.testing.assert_array_equal(coco_labels(entries, 1), labels)

    assert main(["export", str(tmp_path / "bad.tif"), *words]) == 1
    assert str(tmp_path / "bad.tif") in capsys.readouterr().err
    assert main(["export", str(tmp_path / "empty.tif"), "--output", str(out), "--rois"]) == 1
    assert main(["export", str(path), "--output", str(out)]) == 1
    assert "Say what to write" in capsys.readouterr().err


def export(*words):
    return main(["export", *map(str, words)])


@pytest.mark.parametrize("axes", ["TYX", "TZYX", "ZTYX", "YXT"])
def test_a_series_has_a_row_per_object_and_time(axes, tmp_path):
    order = [axis for axis in "TZYX" if axis in axes]
    sizes = {"T": 3, "Z": 2, "Y": 12, "X": 14}
    film = np.zeros([sizes[axis] for axis in order], np.uint16)
    film[0, ..., 2:6, 2:6] = 5
    film[2, ..., 2:6, 4:10] = 5  # grown and moved
    film[2, ..., 8:10, 2:4] = 2
    image = film * 10 + np.arange(3).reshape([3] + [1] * (film.ndim - 1))
    turn = [order.index(axis) for axis in axes]
    spacing = {"T": 30.0, "Z": 2.0, "Y": 0.5, "X": 0.25}
    (tmp_path / "images").mkdir()
    for path, data in (
        (tmp_path / "film_labels.tif", film),
        (tmp_path / "images" / "film.tif", image.astype(np.uint16)),
    ):
        write_labels(
            path,
            data.transpose(turn),
            axes=axes,
            spacing=tuple(spacing[axis] for axis in axes),
            unit=tuple("s" if axis == "T" else "um" for axis in axes),
        )
    words = (tmp_path / "film_labels.tif", "--output", tmp_path / "out", "--table", "--rois")
    assert export(*words, "--coco", "--images", tmp_path / "images") == 0
    table = pd.read_csv(tmp_path / "out" / "film_objects.csv")
    assert table[["label", "t", "time"]].to_numpy().tolist() == [[5, 0, 0], [2, 2, 60], [5, 2, 60]]
    assert set(table["length_unit"]) == {"um"}
    assert set(table["time_unit"]) == {"s"}
    assert table["intensity_mean"].tolist() == [50, 22, 52]
    size = "volume" if "Z" in axes else "area"
    voxel = 0.5 * 0.25 * (2 * 2 if "Z" in axes else 1)
    assert table[size].tolist() == [16 * voxel, 4 * voxel, 24 * voxel]
    assert table["centroid_x"].tolist() == [3.5 * 0.25, 2.5 * 0.25, 6.5 * 0.25]
    entries = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert {image["file_name"] for image in entries["images"]} == {"film.tif"}


def test_masks_in_exports_are_said(labels, tmp_path, capsys):
    white = np.where(labels > 0, 255, 0).astype(np.uint8)  # four parts: 4, 7 and two of 9
    for name, data in {"white": white, "ones": white // 255, "ids": labels}.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", data)
    out = tmp_path / "out"
    assert export(tmp_path / "white.tif", "--table", "--output", out) == 0
    assert "white.tif: it holds one value only, 255, in 4 connected" in capsys.readouterr().err
    assert len(pd.read_csv(out / "white_objects.csv")) == 4
    assert export(tmp_path / "ones.tif", "--table", "--output", out) == 0
    assert "they are one object; --parts separates them" in capsys.readouterr().err
    assert len(pd.read_csv(out / "ones_objects.csv")) == 1
    for name in ("ones", "ids"):
        assert export(tmp_path / f"{name}.tif", "--table", "--parts", "--output", out) == 0
        assert len(pd.read_csv(out / f"{name}_objects.csv")) == 4


def test_coco_finds_the_name_of_the_image(labels, tmp_path, capsys):
    out = tmp_path / "out"

    def name_of(path):
        assert export(path, "--coco", "--output", out) == 0
        return json.loads((out / "coco.json").read_text())["images"][0]["file_name"]

    write_labels(tmp_path / "a_labels.tif", labels)
    assert name_of(tmp_path / "a_labels.tif") == "a.tif"
    assert "its image was not found" in capsys.readouterr().err
    write_labels(tmp_path / "b_labels.tif", labels, recipe={"image": "b.czi"})
    assert name_of(tmp_path / "b_labels.tif") == "b.czi"
    imsave(tmp_path / "a.png", labels.astype(np.uint8), check_contrast=False)
    assert name_of(tmp_path / "a_labels.tif") == "a.png"


def test_one_bad_file_or_place_does_not_end_the_export(labels, tmp_path, capsys):
    good, other = tmp_path / "a_labels.tif", tmp_path / "more"
    write_labels(good, labels)
    write_labels(other / "a_labels.tif", labels)
    tifffile.imwrite(tmp_path / "floats.tif", np.full((5, 5), 0.5, np.float32))
    out = tmp_path / "out"
    (out / "b_objects.csv").mkdir(parents=True)
    write_labels(tmp_path / "b_labels.tif", labels)
    files = (tmp_path / "floats.tif", tmp_path / "none.tif", tmp_path / "b_labels.tif", good, other)
    assert export(*files, "--table", "--output", out) == 1
    told = capsys.readouterr()
    assert told.out.splitlines() == [str(out / "a_objects.csv")]
    lines = told.err.splitlines()
    assert len(lines) == 4
    assert "floats.tif: labels must be whole numbers" in lines[0]
    assert "none.tif: there is no such file" in lines[1]
    assert "b_objects.csv is a folder" in lines[2]
    assert "Another file of this call" in lines[3]
    assert str(other / "a_labels.tif") in lines[3]
    assert export(good, "--table", "--output", good) == 1
    assert "this is a file, not a folder" in capsys.readouterr().err
    # Folders and patterns that no shell has expanded.
    assert export(other, f"{tmp_path}/a_*.tif", "--rois", "--output", tmp_path / "new") == 1
    assert (tmp_path / "new" / "a_rois.zip").exists()
