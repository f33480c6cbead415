"""Which files a command takes, and where it writes."""

import json
import os
import threading

import numpy as np
import pytest
import tifffile

from napari_seglite.cli import main
from napari_seglite.errors import ImageError, SegliteError
from napari_seglite.formats import find_images, pair_files, read_labels, write_labels
from napari_seglite.images import Region
from napari_seglite.inference import parse_numbers


@pytest.fixture
def cells(blobs):
    return blobs[0].clip(0, 255).astype(np.uint8)


@pytest.fixture
def run(tmp_path, untrained, capsys):
    """Return a function that segments names and returns exit code, files written and messages."""

    def segment(*names, out="out", options=()):
        words = ["segment", *map(str, names), "--checkpoint", untrained.id, "--device", "cpu"]
        code = main([*words, "--output", str(tmp_path / out), *options])
        told = capsys.readouterr()
        return code, [os.path.basename(p) for p in told.out.splitlines()], told.err

    return segment


def test_patterns_and_folders_stand_for_their_images(tmp_path, cells, run):
    for name in ("b.tif", "a.b.tif", "[1].tif", "._a.b.tif", "notes.txt"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    for name in ("b.tif", "a.b.tif", "[1].tif"):
        tifffile.imwrite(tmp_path / name, cells)
    (tmp_path / "gone.tif").symlink_to(tmp_path / "nowhere")
    expected = ["[1]_labels.tif", "a.b_labels.tif", "b_labels.tif"]
    assert run(tmp_path / "*.tif")[:2] == (0, expected)
    assert run(tmp_path, out="second")[:2] == (0, expected)
    assert run(tmp_path / "[1].tif", out="third")[:2] == (0, ["[1]_labels.tif"])
    code, written, said = run(tmp_path / "*.lsm")
    assert (code, written) == (1, [])
    assert "*.lsm: no image has such a name" in said


def test_own_labels_are_not_segmented_again(tmp_path, cells, run):
    tifffile.imwrite(tmp_path / "a.tif", cells)
    assert run(tmp_path / "a.tif", out=".", options=["--uncertainty"])[0] == 0
    files = sorted(tmp_path.glob("*.tif"))
    assert len(files) == 3
    code, written, said = run(*files, out=".")
    assert (code, written) == (0, ["a_labels.tif"])
    assert "a_labels.tif: made by SegLite, left out" in said
    assert "a_uncertainty.tif: made by SegLite, left out" in said
    assert run(tmp_path, out=".")[:2] == (0, ["a_labels.tif"])
    # A file of that name that somebody else made is an image like others.
    tifffile.imwrite(tmp_path / "other_labels.tif", cells)
    assert find_images([tmp_path / "other_labels.tif"]).paths == (tmp_path / "other_labels.tif",)


def test_two_files_of_one_name_in_a_folder(tmp_path, cells, run):
    for name in ("a.tif", "a.ome.tif"):
        tifffile.imwrite(tmp_path / name, cells)
    code, written, said = run(tmp_path)
    assert (code, written) == (0, ["a_labels.tif"])
    assert "a.tif: its labels would have the name of those of a.ome.tif, left out" in said
    code, written, said = run(tmp_path / "a.tif", tmp_path / "a.ome.tif")
    assert code == 1
    assert "a_labels.tif: it holds the labels of another file" in said


def test_what_others_wrote_is_not_replaced(tmp_path, cells, run):
    tifffile.imwrite(tmp_path / "a.tif", cells)
    tifffile.imwrite(tmp_path / "b.tif", cells)
    (tmp_path / "out").mkdir()
    tifffile.imwrite(tmp_path / "out/a_labels.tif", cells)
    code, written, said = run(tmp_path)
    assert (code, written) == (1, ["b_labels.tif"])
    assert "a_labels.tif: there is a file of this name that SegLite did not write" in said
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out/a_labels.tif"), cells)
    with pytest.raises(ImageError, match="SegLite did not write"):
        write_labels(tmp_path / "out/a_labels.tif", cells)


def test_one_file_that_cannot_be_written_does_not_end_the_others(tmp_path, cells, run):
    long = tmp_path / ("n" * 246 + ".tif")
    for path in (long, tmp_path / "a.tif", tmp_path / "b.tif"):
        tifffile.imwrite(path, cells)
    (tmp_path / "out/a_labels.tif").mkdir(parents=True)
    code, written, said = run(tmp_path / "a.tif", long, tmp_path / "b.tif")
    assert (code, written) == (1, ["b_labels.tif"])
    assert "a_labels.tif: there is a folder of this name" in said
    assert "this name is too long for a file, 257 bytes of 255" in said


def test_the_output_is_checked_before_the_work(tmp_path, cells, run):
    tifffile.imwrite(tmp_path / "a.tif", cells)
    (tmp_path / "file").touch()
    code, written, said = run(tmp_path / "a.tif", out="file")
    assert (code, written) == (1, [])
    assert f"{tmp_path / 'file'}: this is a file, not a folder" in said
    code, _, said = run(tmp_path / "a.tif", out="file/below")
    assert code == 1
    assert "nothing can be written there" in said


def test_any_failure_is_named_and_the_others_go_on(tmp_path, cells, run):
    import zarr

    array = zarr.create_array(tmp_path / "bad.zarr", shape=cells.shape, dtype="u1", chunks=(64, 64))
    array[:] = cells
    next(p for p in (tmp_path / "bad.zarr/c").rglob("*") if p.is_file()).write_bytes(b"garbage")
    tifffile.imwrite(tmp_path / "good.tif", cells)
    code, written, said = run(tmp_path / "bad.zarr", tmp_path / "good.tif")
    assert (code, written) == (1, ["good_labels.tif"])
    assert f"{tmp_path / 'bad.zarr'}" in said


def test_only_files_and_folders_are_opened(tmp_path, cells, run):
    os.mkfifo(tmp_path / "pipe.tif")
    tifffile.imwrite(tmp_path / "good.tif", cells)
    (tmp_path / "loop.tif").symlink_to(tmp_path / "loop.tif")
    names = [tmp_path / n for n in ("pipe.tif", "loop.tif", "good.tif")]
    result = []
    thread = threading.Thread(target=lambda: result.append(run(*names)), daemon=True)
    thread.start()
    thread.join(60)
    (code, written, said) = result[0]
    assert (code, written) == (1, ["good_labels.tif"])
    assert "pipe.tif: this is neither a file nor a folder" in said
    assert "loop.tif" in said


def test_images_in_a_file_are_chosen(tmp_path, cells, run):
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path) as file:
        for name, pixels in (("thumb", cells[:40]), ("big", cells)):
            file.write(pixels, metadata={"axes": "YX", "Name": name})
    code, written, said = run(path)
    assert (code, written) == (0, ["two_labels.tif"])
    assert "This is image 1 of 2 in the file (1 thumb, 2 big)" in said
    assert run(f"{path}#2")[:2] == (0, ["two_2_labels.tif"])
    assert run(f"{path}#big")[:2] == (0, ["two_big_labels.tif"])
    assert read_labels(tmp_path / "out/two_big_labels.tif").shape == cells.shape
    code, written, said = run(path, options=["--scene", "all"], out="all")
    assert (code, written) == (0, ["two_1_labels.tif", "two_2_labels.tif"])
    assert "image 1 of 2" not in said
    code, _, said = run(path, options=["--scene", "3"])
    assert code == 1
    assert f"{path}: there is no image 3 in this file; it holds 1 thumb, 2 big" in said


def test_info_says_what_was_understood(tmp_path, cells, capsys):
    path = tmp_path / "a.ome.tif"
    stack = np.stack([cells] * 3)
    sizes = {"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "PhysicalSizeZ": 300.0}
    units = {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm", "PhysicalSizeZUnit": "nm"}
    tifffile.imwrite(path, stack, metadata={"axes": "ZYX", **sizes, **units})
    assert main(["info", str(path), str(tmp_path / "missing.tif")]) == 1
    told = capsys.readouterr()
    assert "axes:        ZYX" in told.out
    assert "3 slices, 96 rows, 120 columns" in told.out
    assert "Suggested checkpoint: nuclei-unet-sharp (At this pixel size" in told.out
    assert "missing.tif: there is no such file" in told.err
    assert main(["info", "--json", str(path)]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["shape"] == [3, 96, 120]
    assert facts["spacing"] == pytest.approx({"Z": 0.3, "Y": 0.1, "X": 0.1})
    assert facts["units"] == {"Z": "um", "Y": "um", "X": "um"}
    assert facts["guesses"] == []
    assert facts["suggested"]["checkpoint"] == "nuclei-unet-sharp"


def test_labels_are_found_under_the_names_that_programs_give(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    labels.mkdir()
    for name in ("a.tif", "b.tif", "c.d.tif", "gut_seg.tif", "case_0000.tif", "._a.tif", "x.tif"):
        (images / name).touch()
    for name in ("a_cp_masks.tif", "b_masks.tif", "c.d_labels.tif", "gut_seg_mask.tif", "case.tif"):
        (labels / name).touch()
    (labels / "y.tif").touch()
    found = pair_files(images, labels)
    names = {name: second.name for name, (_, second) in found.pairs.items()}
    assert names == {
        "a": "a_cp_masks.tif",
        "b": "b_masks.tif",
        "c.d": "c.d_labels.tif",
        "gut_seg": "gut_seg_mask.tif",
        "case": "case.tif",
    }
    assert [path.name for path in found.unpaired] == ["x.tif", "y.tif"]
    assert "x.tif was looked for under the name x" in found.hint
    assert "y.tif" in found.hint
    (labels / "a.tif").touch()
    with pytest.raises(ImageError, match=r"a\.tif and a_cp_masks\.tif share one name"):
        pair_files(images, labels)
    both = tmp_path / "both"
    both.mkdir()
    for name in ("a.tif", "a_seg.npy", "b.tif", "b_masks.png"):
        (both / name).touch()
    assert sorted(pair_files(both, both).pairs) == ["a", "b"]


def test_odd_numbers_and_regions_are_refused():
    with pytest.raises(SegliteError, match="more than 1,000,000 frames"):
        parse_numbers("0-999999999")
    with pytest.raises(SegliteError, match="more than 1,000,000 frames"):
        parse_numbers("0-9999999999999999999999999")
    with pytest.raises(SegliteError, match="a range ends after it begins"):
        parse_numbers("5-3")
    with pytest.raises(ImageError, match="bottom must be more than top"):
        Region.parse("50,0,10,20")
