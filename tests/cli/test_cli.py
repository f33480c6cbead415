import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

import src_models
from napari_seglite import SegmentRequest, segment
from napari_seglite.cli import main
from napari_seglite.errors import Cancelled
from napari_seglite.formats import read_image, read_labels, read_recipe
from napari_seglite.inference import Segmenter, estimate_object_size
from napari_seglite.widgets import sample_data


@pytest.fixture
def nuclei(tmp_path):
    path = tmp_path / "cells.png"
    imsave(path, sample_data.load("fluorescence")[0][:96, :128], check_contrast=False)
    return path


def test_networks_as_json(capsys):
    assert main(["networks", "--json"]) == 0
    (network,) = [n for n in json.loads(capsys.readouterr().out) if n["name"] == "s-net"]
    assert network["parameters"] == 1_522_306
    assert network["context_slices"] == 1
    assert "Shang" in network["paper"]


def test_tables_are_readable(capsys):
    assert main(["networks"]) == 0
    listed = capsys.readouterr().out
    assert all(f"\n{name} " in listed for name in ("celnet", "m2snet", "s-net", "u2net-msac"))
    assert re.search(r"unet-sharp +10,748,580 +146.3 +1 +1 to 4 +BCE \+ Dice on eight", listed)
    assert main(["checkpoints"]) == 0
    assert "nuclei-s-net" in capsys.readouterr().out
    assert main(["checkpoints", "--json"]) == 0
    shipped = json.loads(capsys.readouterr().out)
    assert all(info["built_in"] for info in shipped)
    assert {info["network"] for info in shipped} == set(src_models.names())


def test_segment_writes_labels_and_goes_on_after_bad_files(tmp_path, nuclei, capsys):
    text = tmp_path / "text.tif"
    text.write_text("no image")
    lzw = tmp_path / "lzw.tif"
    tifffile.imwrite(lzw, read_image(nuclei).array, compression="lzw")
    flat = tmp_path / "flat.tif"
    tifffile.imwrite(flat, np.full((40, 40), 3, np.uint8))
    out = tmp_path / "out"
    files = [str(p) for p in (text, nuclei, tmp_path / "missing.tif", lzw, flat)]
    options = ["--checkpoint", "nuclei-s-net", "--output", str(out), "--device", "cpu"]
    table = tmp_path / "table.csv"
    assert main(["segment", *files, *options, "--table", str(table)]) == 1
    header, *rows = [line.split(",") for line in table.read_text().splitlines()]
    assert header == ["image", "labels", "expected_dice"]
    assert [Path(image).name for image, _, _ in rows] == ["cells.png", "lzw.tif", "flat.tif"]
    assert 0.9 < float(rows[0][2]) < 1
    told = capsys.readouterr()
    assert told.out.split() == [
        str(out / f"{name}_labels.tif") for name in ("cells", "lzw", "flat")
    ]
    assert f"{text}: the file is damaged or not an image" in told.err
    assert "missing.tif: there is no such file" in told.err
    assert f"{flat}: All pixels of the image are equal" in told.err
    nowhere = text / "quality.csv"  # in a folder that is a file
    assert main(["segment", str(flat), *options, "--table", str(nowhere)]) == 1
    assert "The table cannot be written" in capsys.readouterr().err
    expected = segment(read_image(nuclei).array, SegmentRequest("nuclei-s-net", "YX", "cpu")).labels
    for name in ("cells", "lzw"):
        np.testing.assert_array_equal(read_labels(out / f"{name}_labels.tif"), expected)
    assert read_recipe(out / "cells_labels.tif")["checkpoint"] == "nuclei-s-net"


def test_segment_options_reach_the_engine(tmp_path, nuclei):
    words = f"segment {nuclei} --checkpoint nuclei-s-net --output {tmp_path} --device cpu "
    words += "--threshold 0.7 --min-size 20 --instances --tile 64 --overlap 16"
    assert main(words.split()) == 0
    labels = tmp_path / "cells_labels.tif"
    request = SegmentRequest.from_dict(read_recipe(labels))
    assert request == SegmentRequest(
        "nuclei-s-net",
        "YX",
        "cpu",
        0.7,
        20,
        "instances",
        None,
        64,
        16,
        runtime="torch",
        precision="exact",
        least_probability=0.0,
    )
    np.testing.assert_array_equal(
        read_labels(labels), segment(read_image(nuclei).array, request).labels
    )


def test_wrong_checkpoint_is_one_error(tmp_path, nuclei, capsys):
    assert main(["segment", str(nuclei), "--checkpoint", "x", "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("seglite: No checkpoint 'x'. There are: general")
    words = ["segment", str(nuclei), "--checkpoint", "nuclei-s-net", "--output", str(tmp_path)]
    assert main([*words, "--threshold", "7"]) == 1
    assert "between 0 and 1" in capsys.readouterr().err


def test_evaluate(tmp_path, capsys):
    predictions, truths = tmp_path / "p", tmp_path / "t"
    predictions.mkdir()
    truths.mkdir()
    tifffile.imwrite(predictions / "a_labels.tif", np.array([[1, 1, 0, 0]], np.uint8))
    tifffile.imwrite(truths / "a.tif", np.array([[9, 0, 9, 0]], np.uint16))
    imsave(predictions / "b.png", np.array([[2, 2], [0, 0]], np.uint8), check_contrast=False)
    tifffile.imwrite(truths / "b.tif", np.array([[2, 2], [0, 0]], np.uint8))
    folders = ["--predictions", str(predictions), "--labels", str(truths)]
    assert main(["evaluate", *folders, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores == {
        "mean": {"dice": 0.75, "iou": pytest.approx(2 / 3)},
        "images": [
            {"name": "a", "dice": 0.5, "iou": pytest.approx(1 / 3)},
            {"name": "b", "dice": 1.0, "iou": 1.0},
        ],
    }
    assert main(["evaluate", *folders, "--json", "--per-class"]) == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["dice"] == 0.0
    assert main(["evaluate", *folders]) == 0
    assert "MEAN   0.750  0.667" in capsys.readouterr().out
    (truths / "c.tif").write_bytes((truths / "b.tif").read_bytes())
    assert main(["evaluate", *folders]) == 0
    told = capsys.readouterr()
    assert "MEAN   0.750  0.667" in told.out
    assert f"{truths / 'c.tif'}: no file of that name on the other side" in told.err
    imsave(predictions / "b.png", np.zeros((3, 3), np.uint8), check_contrast=False)
    assert main(["evaluate", *folders]) == 1


def test_evaluate_in_detail(tmp_path, capsys):
    predictions, truths = tmp_path / "p", tmp_path / "t"
    predictions.mkdir()
    truths.mkdir()
    cell = np.zeros((9, 9), np.uint8)
    cell[2:6, 2:6] = 1
    for name, found, truth in (("a", cell, cell), ("b", cell * 0, cell)):
        tifffile.imwrite(predictions / f"{name}_labels.tif", found)
        tifffile.imwrite(truths / f"{name}.tif", truth)
    folders = ["--predictions", str(predictions), "--labels", str(truths)]
    assert main(["evaluate", *folders, "--distances", "--instances", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    perfect, missed = scores["images"]
    assert perfect["hausdorff95"] == perfect["surface_distance"] == 0
    assert perfect["f1_0.9"] == perfect["ap50"] == perfect["aji"] == perfect["precision"] == 1
    assert missed["hausdorff95"] is None
    assert missed["precision"] is None
    assert missed["sensitivity"] == missed["aji"] == 0
    assert scores["mean"]["hausdorff95"] == 0
    assert scores["mean"]["ap50"] == 0.5
    assert main(["evaluate", *folders, "--instances", "--csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("image,dice,iou,f1_0.5,")
    assert lines[-1].startswith("mean,0.5,0.5,0.5,")


def test_fine_tune(tmp_path, nuclei, store, capsys):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    labels.mkdir()
    pixels = read_image(nuclei).array
    for name in ("a", "b"):
        imsave(images / f"{name}.png", pixels, check_contrast=False)
        tifffile.imwrite(
            labels / f"{name}_labels.tif", (pixels > pixels.mean() + pixels.std()).astype(np.uint16)
        )
    folders = ["--images", str(images), "--labels", str(labels)]
    options = "--checkpoint nuclei-s-net --name mine --minutes 1 --steps 2 --batch 1 --patch 32"
    words = ["fine-tune", *folders, *options.split(), "--device", "cpu", "--learning-rate", "1e-12"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "no checkpoint was saved" in told.err
    assert main([*words, "--keep-unimproved"]) == 0
    told = capsys.readouterr()
    assert told.out.strip() == "mine"
    assert "Dice before" in told.err
    assert store.info("mine").parent == "nuclei-s-net"
    assert main(["fine-tune", *folders, *options.split()]) == 1
    assert "There is a checkpoint mine already" in capsys.readouterr().err


def test_networks_from_scratch_take_options_and_can_be_pruned(tmp_path, nuclei, store, capsys):
    labels = tmp_path / "labels"
    labels.mkdir()
    pixels = read_image(nuclei).array
    tifffile.imwrite(labels / "cells.tif", (pixels > pixels.mean()).astype(np.uint8))
    words = f"fine-tune --images {tmp_path} --labels {labels} --checkpoint unet-sharp --name mine"
    words += " --steps 2 --batch 1 --patch 32 --device cpu"
    assert main([*words.split(), "--option", "preset"]) == 1
    assert "KEY=VALUE" in capsys.readouterr().err
    for wrong in ("preset=huge", "width=3", "dims=null", "spacing=[1, 2]"):
        assert main([*words.split(), "--option", wrong]) == 1
        (told,) = capsys.readouterr().err.splitlines()
        assert told.startswith("seglite: --option: ")
    assert main([*words.split(), "--vgg16", str(tmp_path / "missing.pth")]) == 1
    assert "missing.pth with VGG-16's weights" in capsys.readouterr().err
    assert main([*words.split(), "--option", "preset=small"]) == 0
    assert store.info("mine").options == {"preset": "small"}

    words = f"segment {nuclei} --checkpoint mine --output {tmp_path} --device cpu"
    assert main([*words.split(), "--pruning-level", "2", "--keep-empty"]) == 0
    request = SegmentRequest.from_dict(read_recipe(tmp_path / "cells_labels.tif"))
    assert (request.pruning_level, request.keep_empty) == (2, True)
    assert "--pruning-level 2" in request.as_command(["cells.png"], ".")
    pruned = segment(pixels, request).probabilities
    whole = segment(pixels, SegmentRequest("mine", "YX", "cpu")).probabilities
    assert np.abs(pruned - whole).max() > 1e-3
    assert main([*words.split(), "--pruning-level", "7"]) == 1
    assert "levels 1 to 4, not 7" in capsys.readouterr().err
    words = words.replace("mine", "nuclei-s-net")
    assert main([*words.split(), "--pruning-level", "2"]) == 1
    assert "no pruning levels" in capsys.readouterr().err
    assert main([*words.split(), "--keep-empty"]) == 1
    assert "Choose a checkpoint of UNet#" in capsys.readouterr().err


def test_volumes_are_learnt_from_the_shell(tmp_path, store):
    """The file's spacing sets the pooling; slices are ten pixels apart, so that Z stays."""
    labels = tmp_path / "labels"
    labels.mkdir()
    z, y, x = np.mgrid[:4, :32, :32]
    truth = ((y - 16 - z) ** 2 + (x - 16) ** 2 < 49).astype(np.uint8)
    place = {"imagej": True, "resolution": (1, 1)}
    place["metadata"] = {"axes": "ZYX", "spacing": 10, "unit": "um"}
    tifffile.imwrite(tmp_path / "stack.tif", truth * 100 + (x % 5).astype(np.uint8), **place)
    tifffile.imwrite(labels / "stack.tif", truth, **place)
    words = f"fine-tune --images {tmp_path} --labels {labels} --checkpoint unet-sharp --name mine"
    words += " --option dims=3 --steps 1 --patch 32 --device cpu"
    assert main(words.split()) == 0
    info = store.info("mine")
    assert info.options == {"dims": 3, "preset": "tiny", "spacing": [10.0, 1.0, 1.0]}
    assert len(info.settings["frames"]) == 4


def test_objects_of_volumes_are_learnt_from_the_shell(tmp_path, store, capsys):
    """Two objects touch; one slice of each is not enough, four are, and then they are split."""
    labels, images = tmp_path / "labels", tmp_path / "images"
    labels.mkdir(), images.mkdir()
    truth = np.zeros((4, 32, 32), np.int16)
    truth[1:3, 8:24, 6:16], truth[1:3, 8:24, 16:26] = 1, 2
    place = {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}
    tifffile.imwrite(images / "stack.tif", (truth > 0) * np.uint8(100), **place)
    words = f"fine-tune --images {images} --labels {labels} --checkpoint unet-sharp --name mine"
    words += " --head distance --option dims=3 --steps 1 --patch 32 --device cpu"
    partial = truth.copy()
    partial[2:] = -1  # not annotated
    tifffile.imwrite(labels / "stack.tif", partial, **place)
    assert main(words.split()) == 1
    assert "Correct neighbouring slices one after the other" in capsys.readouterr().err
    tifffile.imwrite(labels / "stack.tif", truth, **place)
    assert main(words.split()) == 0
    info = store.info("mine")
    assert (info.head, info.head_channels, info.volumetric) == ("distance", 2, True)
    assert 0 <= info.scores["validation_f1"] <= 1
    words = f"segment {images}/stack.tif --checkpoint mine --output {tmp_path} --device cpu"
    assert main([*words.split(), "--split-depth", "0.3"]) == 0
    assert read_labels(tmp_path / "stack_labels.tif").shape == truth.shape


def test_as_a_module():
    printed = subprocess.check_output(
        [sys.executable, "-m", "napari_seglite", "--version"], text=True
    )
    assert printed.startswith("seglite ")


def test_rescaling_and_uncertainty(tmp_path, nuclei, store, capsys):
    from dataclasses import replace

    info, network = store.load("nuclei-s-net")
    store.save(replace(info, id="sized", spacing=(0.5, 0.5)), network.state_dict())
    image = tmp_path / "small.tif"
    pixels = read_image(nuclei).array
    tifffile.imwrite(
        image, pixels, imagej=True, resolution=(4, 4), metadata={"unit": "um", "axes": "YX"}
    )
    options = ["--checkpoint", "sized", "--output", str(tmp_path), "--device", "cpu"]
    more = ["--rescale", "match", "--ensemble", "flips", "--uncertainty"]
    assert main(["segment", str(image), *options, *more]) == 0
    request = SegmentRequest("sized", "YX", "cpu", rescale=0.5, ensemble="flips")
    expected = segment(pixels, request)
    np.testing.assert_array_equal(read_labels(tmp_path / "small_labels.tif"), expected.labels)
    assert read_recipe(tmp_path / "small_labels.tif")["rescale"] == 0.5
    spread = tifffile.imread(tmp_path / "small_uncertainty.tif")
    np.testing.assert_allclose(spread, expected.disagreement[0], atol=1e-3)
    capsys.readouterr()
    assert main(["segment", str(nuclei), *options, "--rescale", "match"]) == 1
    assert "the pixel size of the image is unknown" in capsys.readouterr().err
    assert main(["segment", str(nuclei), *options, "--rescale", "big"]) == 1
    assert "takes a number, match or auto, not 'big'" in capsys.readouterr().err


def test_rescaling_to_the_size_of_the_objects(tmp_path, nuclei, store):
    from scipy.ndimage import zoom

    pixels = zoom(read_image(nuclei).array, 4, order=1)
    image = tmp_path / "large.tif"
    tifffile.imwrite(image, pixels)
    options = ["--checkpoint", "nuclei-s-net", "--output", str(tmp_path), "--device", "cpu"]
    assert main(["segment", str(image), *options, "--rescale", "auto"]) == 0
    request = SegmentRequest("nuclei-s-net", "YX", "cpu")
    size = estimate_object_size(pixels, request, Segmenter(store))
    assert size.rescale < 0.67  # four times as wide as the nuclei it learnt, or nearly so
    assert read_recipe(tmp_path / "large_labels.tif")["rescale"] == size.rescale
    with pytest.raises(Cancelled):
        estimate_object_size(pixels, request, Segmenter(store), stop=lambda: True)
