"""A run that is killed, or repeated, or asked for something else."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_seglite import segment
from napari_seglite.blocks import Blocks, Ledger, prepare, run, run_step, work
from napari_seglite.errors import SegliteError
from napari_seglite.formats import read_labels, read_recipe

SCRIPT = Path(__file__).parent / "killed_run.py"
BLOCKS = Blocks(64, overlap=32)


@pytest.fixture
def request_(request_of):
    return request_of(output="instances", min_size=15)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_twenty_kills_at_random_moments_cost_nothing(image_path, request_, objects, tmp_path):
    ledger = prepare(image_path, request_, tmp_path / "a.zarr", BLOCKS)
    assert ledger.job.cut.count == 16
    other = prepare(image_path, request_, tmp_path / "warm-up.zarr", Blocks(256, overlap=32))
    command = [sys.executable, str(SCRIPT), ledger.place, other.place]
    kills = int(subprocess.check_output(command, env={**os.environ, "OMP_NUM_THREADS": "1"}))
    assert kills >= 15
    np.testing.assert_array_equal(read_labels(ledger.place), objects)
    assert not list(Path(ledger.where).rglob("*.npz"))
    assert not list(Path(ledger.place).rglob("*.partial"))


def test_finished_blocks_are_not_segmented_again(image_path, request_, objects, tmp_path):
    ledger = prepare(image_path, request_, tmp_path / "a.zarr", BLOCKS)
    assert read_recipe(ledger.place)["unfinished"]
    for _ in run_step(ledger, "segment", part=(0, 2)):
        pass
    done = sorted(Path(ledger.where).rglob("segment/**/*.npz"))
    assert len(done) == 8
    times = [path.stat().st_mtime_ns for path in done]
    again = prepare(image_path, request_, tmp_path / "a.zarr", BLOCKS)
    assert again.left("segment") == list(range(1, 16, 2))
    for _ in run_step(again, "segment"):
        pass
    assert [path.stat().st_mtime_ns for path in done] == times
    for _ in run(again):
        pass
    np.testing.assert_array_equal(read_labels(ledger.place), objects)
    assert "unfinished" not in read_recipe(ledger.place)
    assert again.counts() == {"objects": int(objects.max())}


def test_relabelling_the_rest_of_a_block_after_a_crash(image_path, request_, objects, tmp_path):
    ledger = prepare(image_path, request_, tmp_path / "a.zarr", Blocks(256, overlap=32))
    for step in ("segment", "link", "number"):
        for _ in run_step(ledger, step):
            pass
    array = zarr.open_group(ledger.place, mode="r+")["0"]
    provisional = array[:]
    work(ledger.place, "finish", 0)
    final = array[:]
    half = np.where(np.arange(final.shape[0])[:, None] < 100, final, provisional)
    assert (half != final).any()
    array[:] = half  # as if it was killed between two chunks
    next(Path(ledger.where).rglob("finish/**/0.npz")).unlink()
    for _ in run(ledger):
        pass
    np.testing.assert_array_equal(read_labels(ledger.place), objects)


def test_another_request_is_refused_and_names_what_differs(image_path, request_, tmp_path):
    out = tmp_path / "a.zarr"
    prepare(image_path, request_, out, BLOCKS)
    with pytest.raises(SegliteError, match="differs in: threshold, edges"):
        prepare(image_path, replace(request_, threshold=0.6), out, Blocks(128, overlap=32))
    assert Ledger(str(out)).job.request.threshold == 0.5


def test_another_checkpoint_of_the_same_name_is_refused(image_path, request_, tmp_path):
    ledger = prepare(image_path, request_, tmp_path / "a.zarr", BLOCKS)
    file = Path(ledger.where) / "ledger.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "weights": "0" * 64}))
    with pytest.raises(SegliteError, match="other weights"):
        work(ledger.place, "segment", 0)
    with pytest.raises(SegliteError, match="differs in: weights"):
        prepare(image_path, request_, tmp_path / "a.zarr", BLOCKS)


def test_labels_that_are_there_already_stay(image_path, request_, tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "precious").write_text("x")
    with pytest.raises(SegliteError, match="something of this name"):
        prepare(image_path, request_, tmp_path / "a.zarr", BLOCKS)
    assert (tmp_path / "a.zarr" / "precious").exists()
    with pytest.raises(SegliteError, match=r"ending in \.zarr"):
        prepare(image_path, request_, tmp_path / "a.tif", BLOCKS)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"region": "0,0,50,50"}, "a region"),
        ({"axes": "ZYX", "output": "instances", "stack_objects": "joined"}, "volume or slices"),
        ({"axes": "TYX", "output": "instances", "time_objects": True}, "ids over time"),
    ],
)
def test_what_needs_the_whole_image_is_refused(
    image_path, request_of, tmp_path, settings, sentence
):
    with pytest.raises(SegliteError, match=sentence):
        prepare(image_path, request_of(**settings), tmp_path / "a.zarr", BLOCKS)
    assert not list(tmp_path.glob("a.zarr*"))


def test_blocks_that_cannot_work_are_refused(image_path, request_, tmp_path):
    with pytest.raises(SegliteError, match="multiple of 512"):
        prepare(image_path, request_, tmp_path / "a.zarr", Blocks(100))
    with pytest.raises(SegliteError, match="at least 80"):
        prepare(image_path, request_, tmp_path / "a.zarr", Blocks(64, overlap=40))


def test_an_array_without_a_file_is_refused(image, request_, tmp_path):
    with pytest.raises(SegliteError, match="path or address"):
        segment(image, request_, output=tmp_path / "a.zarr")


@pytest.mark.parametrize("place", ["folder", "memory://marks/a.zarr"])
def test_folders_of_marks_are_no_marks(image_path, request_, tmp_path, place):
    place = str(tmp_path / "a.zarr") if place == "folder" else place
    ledger = prepare(image_path, request_, place, BLOCKS)
    ledger.mark("segment", 5)
    assert ledger.left("segment") == [k for k in range(16) if k != 5]
