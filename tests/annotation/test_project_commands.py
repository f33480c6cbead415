"""The same weights from a project in a shell as in napari; and which network is best."""

import math

import numpy as np
import pytest
import torch

from napari_seglite import FineTuner, FineTuneRequest
from napari_seglite.annotation import (
    AnnotationProject,
    ProjectImage,
    annotated_images,
    prepare_project,
)
from napari_seglite.cli import main
from napari_seglite.errors import AnnotationError, Cancelled
from napari_seglite.images import Box, Corrections, ImageAxes
from napari_seglite.training import Schedule, compare_networks, start_info
from napari_seglite.training.examples import annotated_examples


@pytest.fixture
def project(tmp_path, blobs):
    """Return a closed project of one stack without a file, two slices corrected."""
    image, mask = blobs
    stack = np.stack([image[:64, :80], image[::-1][:64, :80], image[:64, :80] + 9])
    labels = np.stack([mask[:64, :80], mask[::-1][:64, :80], mask[:64, :80]]).astype(np.uint8)
    folder = tmp_path / "project"
    project = AnnotationProject.open(folder, create=True)
    corrections = Corrections((3, 64, 80))
    corrections = corrections.touch(0, Box(0, 0, 9, 9))
    corrections = corrections.accept(2)
    entry = ProjectImage("cells", "cells", "", ImageAxes("ZYX"), corrections)
    entry.spacing, entry.unit = (2.0, 0.5, 0.25), "um"
    project.add(entry, labels)
    project.store_pixels("cells", stack)
    project.close()
    return folder


@pytest.mark.slow
def test_a_shell_learns_the_same_as_python(project, store, light, capsys):
    words = f"fine-tune --project {project} --checkpoint light --name shell --steps 3"
    options = "--seed 4 --device cpu --folds 1 --batch 2 --patch 32"
    assert main([*words.split(), *options.split()]) == 0
    assert capsys.readouterr().out.strip() == "shell"
    opened = AnnotationProject.open(project)
    wish = FineTuneRequest("light", "python", seed=4, device="cpu")
    request, images = prepare_project(opened, wish, store)
    opened.close()
    assert [image.name for image in images] == ["cells, slice 0", "cells, slice 2"]
    settings = {"steps": 3, "folds": 1, "batch": 2, "patch": 32}

    list(FineTuner(request.adjusted(**settings), images, store).run())
    a, b = (store.load(name)[1].state_dict() for name in ("shell", "python"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert store.info("shell").data_digest == store.info("python").data_digest
    assert store.info("shell").spacing == (0.5, 0.25)


def test_projects_that_teach_nothing(project, store, untrained, capsys, tmp_path):
    opened = AnnotationProject.open(project)
    info = start_info(FineTuneRequest("untrained", "x"), store)
    for frame in (0, 2):
        opened.images["cells"].corrections = opened.images["cells"].corrections.forget(frame)
    with pytest.raises(AnnotationError, match="Nothing was corrected"):
        annotated_examples(annotated_images(opened), info)
    opened.images["cells"].corrections = opened.images["cells"].corrections.accept(1)
    assert len(annotated_examples(annotated_images(opened), info)) == 1
    opened.images["cells"].path = "gone.tif"
    with pytest.raises(AnnotationError, match="not there"):
        annotated_examples(annotated_images(opened), info)
    opened.close()
    words = "fine-tune --checkpoint untrained --name x"
    assert main(words.split()) == 1
    assert "either --project" in capsys.readouterr().err
    assert main([*words.split(), "--project", str(tmp_path / "none")]) == 1
    assert "no SegLite project" in capsys.readouterr().err


def test_what_was_corrected_last_counts(project, store, untrained):
    opened = AnnotationProject.open(project)
    first = opened.images["cells"]
    corrections = Corrections((3, 64, 80))
    corrections = corrections.touch(0, Box(0, 0, 9, 9))
    again = ProjectImage("cells", "cells", first.path, first.axes, corrections)
    opened.add(again, np.ones((3, 64, 80), np.uint8))
    assert again.key == "cells-2"
    info = start_info(FineTuneRequest("untrained", "x"), store)
    found = {image.name: image for image in annotated_examples(annotated_images(opened), info)}
    assert sorted(found) == ["cells, slice 2", "cells-2, slice 0"]
    assert found["cells-2, slice 0"].labels.all()
    opened.close()


@pytest.mark.slow
def test_comparing_ranks_and_stops(project, store, untrained, capsys):
    opened = AnnotationProject.open(project)
    starts = ["u2net-msac", "untrained"]
    wishes = [FineTuneRequest(start, "x", Schedule(minutes=0.02), device="cpu") for start in starts]
    competitors = [prepare_project(opened, wish, store) for wish in wishes]
    opened.close()
    events = list(compare_networks(competitors, store))
    entries = events[-1].ranking
    assert {entry.start for entry in entries} == set(starts)
    assert all(entry.done and entry.steps and entry.seconds > 0 for entry in entries)
    assert [entry.dice for entry in entries] == sorted((e.dice for e in entries), reverse=True)
    assert all(0 <= entry.before <= entry.dice <= 1 for entry in entries)
    assert {entry.parameters for entry in entries} != {0}
    assert [event.progress for event in events] == sorted(event.progress for event in events)
    # Nothing is written.
    assert [i.id for i in store.list() if not (store.built_in / i.id).exists()] == ["untrained"]

    seen = []
    longer = [(wish.adjusted(minutes=5), images) for wish, images in competitors]
    run = compare_networks(longer, store, stop=lambda: len(seen) > 2)
    seen.extend(run)
    assert {entry.start for entry in seen[-1].ranking} == {"u2net-msac"}
    assert not math.isnan(seen[-1].ranking[0].dice)
    with pytest.raises(Cancelled):
        list(compare_networks(longer, store, abort=lambda: True))
    with pytest.raises(AnnotationError, match="Choose at least one"):
        list(compare_networks([], store))

    words = f"compare --project {project} --minutes 0.01 --starts untrained --device cpu"
    assert main(words.split()) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split("\t")[1] == "Dice held out"
    assert row.split("\t")[0] == "untrained"
