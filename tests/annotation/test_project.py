"""Corrections survive: projects on disk, the journal, and programs that are killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_seglite.annotation import AnnotationProject, Autosave, ClassList, ProjectImage
from napari_seglite.annotation.journal import Journal, Tile
from napari_seglite.errors import AnnotationError
from napari_seglite.formats import read_image
from napari_seglite.images import Box, Corrections, ImageAxes


def image(shape=(3, 300, 520), name="cells", axes="ZYX", path=""):
    return ProjectImage(name, name, path, ImageAxes(axes), Corrections(shape))


@pytest.fixture
def project(tmp_path):
    project = AnnotationProject.open(tmp_path / "project", create=True)
    yield project
    project.close()


def test_a_project_is_read_as_it_was_written(tmp_path):
    project = AnnotationProject.open(tmp_path / "p", create=True)
    labels = np.zeros((3, 300, 520), np.uint8)
    labels[1, 250:280, 500:] = 3
    entry = image()
    entry.spacing, entry.unit, entry.checkpoint = (2.0, 0.5, 0.5), "um", "nuclei-s-net"
    entry.corrections = entry.corrections.touch(1, Box(250, 500, 280, 520), by="ada")
    preview = np.zeros((300, 520), np.uint8)
    key = project.add(entry, labels, preview)
    project.classes = ClassList(("background", "nucleus"))
    project.save_index()
    project.close()

    again = AnnotationProject.open(tmp_path / "p")
    found = again.images[key]
    assert found.as_dict() == entry.as_dict()
    (region,) = found.corrections.regions
    assert (region.frame, region.state, region.by, region.strokes) == (1, "touched", "ada", 1)
    assert region.when.startswith("20")
    assert again.classes.class_names == ("background", "nucleus")
    np.testing.assert_array_equal(again.labels(key)[:], labels)
    assert (again.folder / "images" / key / "thumbnail.png").is_file()
    # Anybody else can open the labels, with their scale.
    opened = read_image(again.folder / "images" / key / "labels.zarr")
    assert (opened.axes.order, opened.spacing, opened.unit) == ("ZYX", (2, 0.5, 0.5), "um")
    again.close()


def test_an_image_can_be_taken_out(tmp_path):
    project = AnnotationProject.open(tmp_path / "p", create=True)
    labels = np.zeros((3, 300, 520), np.uint8)
    first, second = (project.add(image(name=name), labels) for name in ("one", "two"))
    project.remove(first)
    project.close()
    again = AnnotationProject.open(tmp_path / "p")
    assert list(again.images) == [second]
    assert not (again.folder / "images" / first).exists()
    np.testing.assert_array_equal(again.labels(second)[:], labels)
    again.close()


def test_two_windows_on_one_project(project):
    with pytest.raises(AnnotationError, match="open in another window"):
        AnnotationProject.open(project.folder)


def test_folders_that_are_no_project(tmp_path):
    with pytest.raises(AnnotationError, match="no SegLite project"):
        AnnotationProject.open(tmp_path)
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(AnnotationError, match="other files"):
        AnnotationProject.open(tmp_path, create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    folder = tmp_path / "broken"
    AnnotationProject.open(folder, create=True).close()
    (folder / "project.json").write_text('{"format": 1}')
    with pytest.raises(AnnotationError, match="cannot be read"):
        AnnotationProject.open(folder)
    (folder / "project.json").write_text('{"format": 99}')
    with pytest.raises(AnnotationError, match="newer version"):
        AnnotationProject.open(folder)


def test_only_what_a_stroke_touched_is_written(project):
    """The journal grows with the stroke, not with the image."""
    sizes = {}
    for side in (512, 4096):
        labels = np.zeros((side, side), np.uint8)
        entry = image((1, side, side), f"s{side}", "YX")
        project.add(entry, labels)
        saver = Autosave(project, delay=0)
        saver.watch(entry, lambda labels=labels: labels)
        before = project.journal.size
        labels[100:140, 90:130] = 1
        saver.labels_changed(entry, (100, 90), (140, 130))
        saver.close()
        sizes[side] = project.journal.size - before
    assert sizes[4096] == pytest.approx(sizes[512], rel=0.05)
    assert 0 < sizes[512] < 2000


def test_what_did_not_change_is_not_written(project):
    labels = np.zeros((3, 300, 520), np.uint8)
    entry = image()
    key = project.add(entry, labels)
    saver = Autosave(project, delay=0)
    saver.watch(entry, lambda: labels)
    saver.labels_changed(entry, (0, 0, 0), (3, 300, 520))
    saver.flush()
    assert saver.written == 0
    labels[2, 5, 5] = 1
    saver.labels_changed(entry, (2, 5, 5), (3, 6, 6))
    saver.flush()
    once = saver.written
    assert once > 0
    labels[2, 5, 5] = 0  # undone, of which nobody tells where
    saver.recheck()
    saver.close()
    assert saver.written > once
    project.compact()
    assert not project.labels(key)[:].any()


def test_labels_can_outgrow_their_numbers(project):
    labels = np.zeros((3, 300, 520), np.uint8)
    labels[0, :9] = 7
    entry = image()
    key = project.add(entry, labels)
    wide = labels.astype(np.uint16)
    wide[1, 20, 30] = 60_000
    saver = Autosave(project, delay=0)
    saver.watch(entry, lambda: wide)
    saver.labels_changed(entry, (1, 20, 30), (2, 21, 31))
    saver.close()
    project.compact()
    np.testing.assert_array_equal(project.labels(key)[:], wide)


def test_labels_that_are_read_outlive_their_rewriting(tmp_path):
    project = AnnotationProject.open(tmp_path / "p", create=True)
    key = project.add(image(), np.full((3, 300, 520), 7, np.uint8))
    before = project.labels(key)
    project.append([Tile(key, (1, 0, 0), np.full((1, 256, 256), 60_000, np.uint16))])
    project.compact()
    assert (before[:] == 7).all()  # not zeros, as Zarr gives for files that are missing
    project.close()
    project = AnnotationProject.open(tmp_path / "p")
    assert project.labels(key)[1, 0, 0] == 60_000
    folders = [path.name for path in (project.folder / "images" / key).glob("labels*")]
    assert folders == ["labels-uint16.zarr"]
    project.close()


def test_an_image_that_is_added_again_has_its_new_labels(project):
    labels = np.zeros((3, 300, 520), np.uint8)
    entry = image()
    saver = Autosave(project, delay=0)
    saver.watch(entry, lambda: labels)
    saver.flush()
    labels[0, 0, 0] = 5
    saver.labels_changed(entry, (0, 0, 0), (1, 1, 1))
    saver.flush()
    project.remove(entry.key)
    labels[:] = 8
    saver.watch(entry, lambda: labels)
    saver.flush()
    project.compact()
    assert (project.labels(entry.key)[:] == 8).all()
    labels[0] = 0
    labels[0, 0, 0] = 5  # as it was saved before the image was removed
    saver.labels_changed(entry, (0, 0, 0), (1, 300, 520))
    saver.close()
    project.compact()
    np.testing.assert_array_equal(project.labels(entry.key)[:], labels)


def test_images_can_be_read_while_others_are_added(project):
    project.add(image(name="first"), np.zeros((3, 300, 520), np.uint8))
    seen = []
    for key in project.images:
        seen.append(key)
        project.add(image(name="second"), np.zeros((3, 300, 520), np.uint8))
    assert seen == ["first"]
    assert list(project.images) == ["first", "second"]


def test_an_equal_image_is_another_image(project):
    labels = np.zeros((3, 300, 520), np.uint8)
    first = image()
    second = image()
    assert project.add(first, labels) == "cells"
    second.shape = first.shape
    assert first == second
    assert project.reserve(first) == "cells"
    assert project.reserve(second) == "cells-2"


@pytest.mark.parametrize("cut", [1, 7, 30])
def test_a_torn_record_ends_the_journal(tmp_path, cut):
    journal = Journal(tmp_path / "journal.bin")
    tiles = [Tile("a", (0, k), np.full((4, 5), k, np.uint8)) for k in range(3)]
    journal.append(tiles)
    whole = journal.size
    os.truncate(journal.path, whole - cut)
    found = journal.read()
    assert [tile.corner for tile in found.tiles] == [(0, 0), (0, 1)]
    assert found.damaged == 0  # the program was killed while it wrote
    np.testing.assert_array_equal(found.tiles[1].load().pixels, tiles[1].pixels)


def test_a_full_disk_is_told_and_tried_again(project, monkeypatch):
    labels = np.zeros((3, 300, 520), np.uint8)
    entry = image()
    key = project.add(entry, labels)
    told = []
    saver = Autosave(project, told.append, delay=0)
    saver.watch(entry, lambda: labels)
    labels[0, 0, 0] = 1

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    saver.labels_changed(entry, (0, 0, 0), (1, 1, 1))
    saver.flush()
    assert "No space left" in told[0]
    assert project.journal.size == 0
    monkeypatch.undo()
    saver.close()
    project.compact()
    assert project.labels(key)[0, 0, 0] == 1


KILLS, AT_ONCE = 200, 40


@pytest.mark.slow
@pytest.mark.alone
def test_killed_at_any_moment(tmp_path):
    """Strokes older than two seconds are there, and every project and checkpoint opens."""
    script = Path(__file__).parent / "killed.py"
    arguments = [sys.executable, str(script), str(tmp_path), str(KILLS), str(AT_ONCE)]
    printed = subprocess.run(arguments, capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    found = [json.loads(line) for line in printed.stdout.splitlines()]
    lives, runs = found[:KILLS], found[KILLS:]
    assert len(lives) == KILLS
    assert sum(life["strokes"] for life in lives) > 2 * KILLS
    assert sum(life["due"] for life in lives) > KILLS  # the promise was put to the test
    assert [life for life in lives if life["lost"]] == []
    assert [life for life in lives if life["broken"]] == []
    # Some died while they saved: their last record was torn or waited to be worked in.
    assert sum(life["journal"] for life in lives) > KILLS / 10
    # Training that was killed went on from what it had saved last.
    assert len(runs) == KILLS / 10
    assert sum(run["saved"] for run in runs) > 5
    assert [run for run in runs if run["went_on"] != run["saved"] or run["end"] != "Finished"] == []
    assert all(run["steps"][0] > 1 for run in runs if run["saved"])


@pytest.mark.parametrize("shape", [(600, 16, 16), (5632, 5632)])
def test_an_edit_of_any_size_is_undone_on_disk(tmp_path, shape):
    labels = np.zeros(shape, np.uint8)
    frames = shape[0] if len(shape) == 3 else 1
    entry = ProjectImage(
        "a", "a", "", ImageAxes("ZYX"[-len(shape) :]), Corrections((frames, *shape[-2:])), shape
    )
    project = AnnotationProject.open(tmp_path / "p", create=True)
    saver = Autosave(project, delay=0)
    saver.watch(entry, lambda: labels)
    saver.flush()
    labels[:] = 1
    saver.labels_changed(entry, (0,) * len(shape), shape)
    saver.flush()
    labels[:] = 0
    saver.recheck()
    saver.flush()
    project.compact()
    assert not project.labels(entry.key)[:].any()
    labels[..., -1, -1] = 5  # nobody notices
    assert saver.close() == ""
    project.close()
    again = AnnotationProject.open(tmp_path / "p")
    np.testing.assert_array_equal(again.labels(entry.key)[:], labels)
    again.close()


def test_whose_name_is_stored(monkeypatch):
    corrections = Corrections((1, 20, 20))
    monkeypatch.setenv("SEGLITE_USER", "ada")
    assert corrections.accept(0).regions[0].by == "ada"
    monkeypatch.setenv("SEGLITE_USER", "")
    assert corrections.accept(0).regions[0].by == ""
    assert corrections.accept(0, "grace").regions[0].by == "grace"


def test_an_image_is_found_again_in_a_file_of_several(project, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 99, (40, 50, 5), dtype=np.uint8)
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        writer.write(pixels[:30, :, 0], metadata={"axes": "YX"})
        writer.write(pixels, metadata={"axes": "YXC"}, photometric="minisblack")
    entry = image((1, 40, 50), axes="CYX", path=f"{tmp_path / 'two.tif'}#2")
    key = project.add(entry, np.zeros((40, 50), np.uint8))
    np.testing.assert_array_equal(project.read_pixels(key), np.moveaxis(pixels, -1, 0))
