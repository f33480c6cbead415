"""Projects, checkpoints, labels and preferences of earlier versions still open.

The files under ``tests/data`` were written by the version that their folder is named after.
"""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from napari_seglite import FineTuneRequest, SegmentRequest, segment
from napari_seglite.annotation import AnnotationProject, prepare_project
from napari_seglite.checkpoints import replay
from napari_seglite.formats import read_image, read_recipe

ROOT = Path(__file__).parent.parent
EARLIER = ROOT / "tests" / "data" / "version-0.1.0"


@pytest.fixture
def checkpoint(store):
    """Return a store with a fine-tuned checkpoint of an earlier version in its folder."""
    with zipfile.ZipFile(EARLIER / "first-tuned-1.zip") as archive:
        archive.extractall(store.folder / "first-tuned-1")
    return store


@pytest.fixture
def project(tmp_path):
    """Return an opened copy of an earlier version's project, which was killed while painting."""
    folder = tmp_path / "project"
    shutil.copytree(EARLIER / "project", folder)
    opened = AnnotationProject.open(folder)
    yield opened
    opened.close()


def test_a_checkpoint_keeps_its_card_and_its_frames(checkpoint):
    info = checkpoint.info("first-tuned-1")
    assert (info.network, info.parent, info.note) == ("unet-sharp", "first", "the second one")
    assert info.spacing == (0.5, 0.5)
    assert info.settings["steps_done"] == 4
    assert info.settings["held_out"] == ["cells, slice 2"]
    assert len(info.curves["loss"]) == 4
    kept = replay.read(checkpoint.path("first-tuned-1"))
    assert len(kept) == 3
    assert kept[0].frame.dtype == np.float32


def test_a_checkpoint_segments_and_is_trained_on(checkpoint):
    image = np.random.default_rng(0).random((48, 64), np.float32)
    request = SegmentRequest("first-tuned-1", "YX", device="cpu")
    assert segment(image, request, checkpoint).labels.shape == image.shape
    assert [info.id for info in checkpoint.list()].count("first-tuned-1") == 1


def test_an_exported_checkpoint_is_imported(store):
    assert store.add(EARLIER / "first-tuned-1.zip").id == "first-tuned-1"
    store.load("first-tuned-1")


def test_a_project_keeps_labels_marks_and_classes(project):
    assert project.classes.class_names == ("background", "cell", "nucleus")
    assert project.classes.class_colours[2] == "#e69f00"
    stack, flat = project.images["stack"], project.images["flat"]
    assert [(r.frame, r.state, r.by) for r in stack.corrections.regions] == [
        (1, "touched", "ada"),
        (2, "accepted", "ada"),
    ]
    assert flat.corrections.mode == "scribble"
    assert sorted(tuple(r.box) for r in flat.corrections.regions if r.state == "complete") == [
        (0, 0, 24, 44)
    ]
    labels = np.asarray(project.labels("stack")[:])
    assert labels[1, 12, 12] == 1
    assert labels[1, 35, 35] == 2
    # What was painted last was still in the journal.
    assert (labels[1, :4, :4] == 2).all()


def test_a_project_is_learnt_from(project, checkpoint):
    request = FineTuneRequest("first-tuned-1", "next", class_names=("background", "object"))
    _, images = prepare_project(project, request, checkpoint)
    assert [image.name for image in images] == ["flat", "stack, slice 1", "stack, slice 2"]


def test_labels_keep_their_recipe(tmp_path):
    path = EARLIER / "stack_labels.tif"
    image = read_image(path)
    assert (image.axes.order, image.spacing, image.unit) == ("ZYX", (2.0, 0.5, 0.5), "um")
    request = SegmentRequest.from_dict(read_recipe(path))
    assert (request.checkpoint, request.output, request.min_size) == ("first", "instances", 2)


def test_preferences_keep_their_names():
    manifest = yaml.safe_load((ROOT / "napari.yaml").read_text())
    section = manifest["contributions"]["configurations"]["segment"]["properties"]
    assert manifest["name"] == "napari-seglite"
    found = {key: entry["default"] for key, entry in section.items()}
    expected = {
        "checkpoint": "nuclei-unet-sharp",
        "device": "auto",
        "output": "checkpoint",
        "threshold": 0.5,
        "smooth": 0,
        "fill_holes": 0,
        "min_size": -1,
    }
    assert expected.items() <= found.items()
