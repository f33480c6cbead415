"""Label files of two folders, paired by stem."""

import csv
import io
import json

import numpy as np
import pytest
import tifffile
from scipy import ndimage as ndi

from napari_seglite.cli import main
from napari_seglite.errors import AnnotationError, ImageError
from napari_seglite.formats import write_labels
from napari_seglite.labels import mask_scores, score_folders


def test_files_are_paired_by_stem_and_bad_folders_are_refused(tmp_path):
    predictions, references = tmp_path / "p", tmp_path / "r"
    predictions.mkdir()
    references.mkdir()
    labels = np.ones((4, 4), np.uint8)
    tifffile.imwrite(predictions / "a_labels.tif", labels)
    tifffile.imwrite(references / "b.tif", labels)
    with pytest.raises(AnnotationError, match="has the name of one in"):
        score_folders(predictions, references)
    tifffile.imwrite(references / "a.tif", labels)
    scores = score_folders(predictions, references)
    assert scores.images == {"a": {"dice": 1, "iou": 1}}
    assert scores.unpaired == (references / "b.tif",)
    tifffile.imwrite(references / "a.tiff", labels)
    with pytest.raises(ImageError, match=r"a.tif and a.tiff share one name"):
        score_folders(predictions, references)


@pytest.fixture
def folders(tmp_path):
    """Return two empty folders."""
    for name in ("p", "r"):
        (tmp_path / name).mkdir()
    return tmp_path / "p", tmp_path / "r"


@pytest.fixture
def shell(folders, capsys):
    """Return a function that scores the folders in the shell: code, output, messages."""

    def run(*words):
        code = main(
            ["evaluate", "--predictions", str(folders[0]), "--labels", str(folders[1]), *words]
        )
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def cells():
    """Return six cells of (30, 40), all 1."""
    mask = np.zeros((30, 40), np.uint8)
    for y, x in ((2, 3), (2, 15), (3, 28), (16, 4), (18, 16), (17, 30)):
        mask[y : y + 8, x : x + 7] = 1
    return mask


def write(folders, name, predicted, reference, **options):
    for folder, labels in zip(folders, (predicted, reference), strict=True):
        tifffile.imwrite(folder / f"{name}.tif", labels, **options)


def test_a_pair_that_cannot_be_compared_leaves_the_others(folders, shell, cells):
    write(folders, "good", cells, cells)
    write(folders, "size", cells, cells[:20])
    write(folders, "text", cells, cells)
    (folders[1] / "text.tif").write_text("no image")
    write(folders, "half", cells, np.full((30, 40), 0.5, np.float32))
    code, out, err = shell("--json")
    assert code == 1
    scores = json.loads(out)
    assert scores["mean"] == {"dice": 1, "iou": 1}
    assert [image["name"] for image in scores["images"]] == ["good"]
    failed = {entry["name"]: entry["error"] for entry in scores["failed"]}
    assert set(failed) == {"size", "text", "half"}
    assert failed["size"].startswith(str(folders[0] / "size.tif"))
    assert f"30 × 40 pixels and {folders[1] / 'size.tif'} 20 × 40" in failed["size"]
    assert str(folders[1] / "text.tif") in failed["text"]
    assert "whole numbers" in failed["half"]
    assert len(err.splitlines()) == 3
    code, out, _ = shell("--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (code, rows[0]["image"], rows[-1]["dice"]) == (1, "good", "1.0")
    assert {row["image"] for row in rows if row["error"]} == {"size", "text", "half"}
    code, out, _ = shell()
    assert (code, out.split()[-3:]) == (1, ["MEAN", "1.000", "1.000"])
    (folders[0] / "good.tif").unlink()
    for words in ((), ("--json",), ("--csv",)):
        assert shell(*words)[0] == 1


def test_distances_are_in_the_unit_of_the_files(folders, shell, cells, tmp_path):
    moved, spacing = np.roll(cells, 2, axis=1), (0.5, 0.2)
    expected = mask_scores(moved, cells, spacing)
    assert expected.hausdorff95 == pytest.approx(0.4)
    write_labels(folders[0] / "a_labels.tif", moved)
    write_labels(folders[1] / "a.tif", cells, spacing=spacing, unit="um")
    write_labels(folders[0] / "b_labels.tif", moved, spacing=(500.0, 200.0), unit="nm")
    write_labels(folders[1] / "b.tif", cells)
    code, out, err = shell("--distances", "--json")
    a, b = json.loads(out)["images"]
    assert (code, err, a["unit"], b["unit"]) == (0, "", "um", "nm")
    assert a["hausdorff95"] == pytest.approx(expected.hausdorff95)
    assert a["surface_distance"] == pytest.approx(expected.surface_distance)
    assert b["hausdorff95"] == pytest.approx(400)
    mean = json.loads(out)["mean"]
    assert (mean["hausdorff95"], mean["unit"]) == (pytest.approx(0.4), "um")
    assert shell("--distances")[1].splitlines()[0].split()[-1] == "UNIT"
    rows = list(csv.DictReader(io.StringIO(shell("--distances", "--csv")[1])))
    assert [row["unit"] for row in rows] == ["um", "nm", "um"]
    # Without a unit anywhere they are pixels, which have no mean with micrometres.
    write(folders, "c", moved, cells)
    code, out, err = shell("--distances", "--json")
    assert json.loads(out)["images"][2]["unit"] == "pixel"
    assert json.loads(out)["images"][2]["hausdorff95"] == 2
    assert json.loads(out)["mean"]["hausdorff95"] is None
    assert "only some files have a pixel size" in err


def test_pixel_sizes_that_contradict_are_said(folders, shell, cells):
    write_labels(folders[0] / "a.tif", np.roll(cells, 2, axis=1), spacing=(1.0, 1.0), unit="um")
    write_labels(folders[1] / "a.tif", cells, spacing=(0.5, 0.5), unit="um")
    code, out, err = shell("--distances", "--json")
    assert (code, json.loads(out)["images"][0]["hausdorff95"]) == (0, 1)
    assert f"{folders[1] / 'a.tif'}: its pixels are 0.5 × 0.5 um" in err
    assert shell("--json")[2] == ""  # sizes matter for distances only


def test_masks_of_one_value_are_understood_and_said(folders, shell, cells):
    objects, _ = ndi.label(cells)
    for name, mask in {
        "ones": cells,
        "white": cells * 255,
        "high": cells * np.uint16(65535),
    }.items():
        write(folders, name, objects.astype(np.uint16), mask)
    code, out, err = shell("--instances", "--json")
    assert (code, json.loads(out)["mean"]["ap50"]) == (0, 1)
    for name, value in {"ones": 1, "white": 255, "high": 65535}.items():
        text = f"{folders[1] / name}.tif: it holds one value only, {value}, so its 6 connected"
        assert text in err
    for path in folders[0].iterdir():
        tifffile.imwrite(path, cells)
    code, out, err = shell("--per-class", "--json")
    assert (code, json.loads(out)["mean"]["dice"]) == (0, 1)
    assert f"{folders[1] / 'white.tif'}: it holds 0 and 255 only, 255 counts as class 1" in err
    assert "ones.tif" not in err


def test_a_series_is_scored_per_time_point(folders, shell, cells):
    film = np.stack([cells, cells, cells * 0])
    found = np.stack([cells, np.roll(cells, 3, axis=1), cells * 0])
    write_labels(folders[0] / "a.tif", found, axes="TYX", spacing=(9.0, 0.5, 0.5), unit="um")
    tifffile.imwrite(folders[1] / "a.tif", film, photometric="minisblack")  # of unknown axes
    code, out, err = shell("--distances", "--instances", "--json")
    scores = json.loads(out)["images"][0]
    each = [mask_scores(a, b, (0.5, 0.5)) for a, b in zip(found, film, strict=True)]
    assert scores["hausdorff95"] == pytest.approx(np.mean([e.hausdorff95 for e in each]))
    assert scores["hausdorff95"] == pytest.approx(0.5)
    assert scores["dice"] == pytest.approx(np.mean([e.dice for e in each]))
    assert (code, scores["unit"]) == (0, "um")
    assert "12 connected parts" in err


def test_time_points_without_labels_have_no_score(folders, shell, cells):
    film = np.stack([cells, cells, cells]).astype(np.int16)
    film[1] = -1
    found = np.stack([cells, cells, np.roll(cells, 3, axis=1)])
    write(folders, "a", found, film, metadata={"axes": "TYX"}, photometric="minisblack")
    code, out, _ = shell("--json")
    expected = (1 + mask_scores(found[2], film[2]).dice) / 2
    assert (code, json.loads(out)["mean"]["dice"]) == (0, pytest.approx(expected))
    write(folders, "a", found, film * 0 - 1, photometric="minisblack")
    code, _, err = shell("--json")
    assert code == 1
    assert "it is unlabelled" in err
