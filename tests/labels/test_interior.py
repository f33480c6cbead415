"""Objects by a network's object head do not depend on blocks, and are those that it learnt."""

import numpy as np
import pytest

from napari_seglite.images import ImageAxes, LabelFrames, chunked
from napari_seglite.labels import Foreground, Interior, instance_scores, label_frames, separate
from src_models import object_heads


def crowd(shape, count, seed=0):
    """Return labels that touch: the cells of random points, within a radius."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, shape, (count, len(shape)))
    places = np.stack(np.indices(shape), -1).astype(float)
    away = np.stack([np.sqrt(((places - point) ** 2).sum(-1)) for point in points])
    return np.where(away.min(0) < 9, away.argmin(0) + 1, 0)


@pytest.mark.parametrize("head", ["distance", "offset"])
def test_objects_that_touch_are_found_again(head):
    truth = crowd((96, 120), 90)
    values = np.concatenate([(truth > 0)[None], object_heads.targets(head, truth)])
    found = separate(values.astype(np.float32), 1, head, 0.1, 4)
    alone = separate(np.concatenate([values[:1], np.ones((2, 96, 120))]), 1, "distance", 0.1)
    assert instance_scores(found, truth, (0.7,)).f1[0.7] > 0.85
    assert alone.max() < truth.max() / 2  # their mask is far fewer pieces


@pytest.mark.parametrize("volume", [False, True])
def test_blocks_change_nothing(monkeypatch, volume):
    frames = 6
    truth = crowd((frames, 70, 80), 60, seed=3)
    planes = truth if volume else np.stack([crowd((70, 80), 60, seed) for seed in range(frames)])
    targets = [object_heads.targets("distance", plane) for plane in planes]
    noise = np.random.default_rng(0).normal(0, 0.05, (frames, 2, 70, 80))
    interior = Interior("distance", (np.stack(targets) + noise).astype(np.float16), 0.05)
    mask = (planes > 0)[:, None].astype(np.float16)
    groups = [list(range(frames))] if volume else [[k] for k in range(frames)]

    def labelled():
        labels = np.zeros(planes.shape, np.uint32)
        target = LabelFrames(labels, ImageAxes("ZYX"), labels.shape)
        label_frames(Foreground(mask, 0.5, interior=interior), groups, target, 5, "instances")
        return labels

    whole = labelled()
    assert whole.max() > 20
    for name, value in {"CHUNK": 16, "DEPTH": 2, "BLOCK_PIXELS": 600}.items():
        monkeypatch.setattr(chunked, name, value)
    np.testing.assert_array_equal(labelled(), whole)


def test_depth_decides_how_much_is_split():
    truth = crowd((96, 120), 90)
    targets = object_heads.targets("distance", truth)
    targets += np.random.default_rng(0).normal(0, 0.1, targets.shape)
    values = np.concatenate([(truth > 0)[None], targets]).astype(np.float32)
    counts = [separate(values, 1, "distance", depth).max() for depth in (0.02, 0.2, 1)]
    assert counts[0] > counts[1] > counts[2]
