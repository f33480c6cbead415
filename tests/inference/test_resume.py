"""What is seen comes first, and what is finished stays when a job is cancelled."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import src_models
from napari_seglite import Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.errors import Cancelled
from napari_seglite.images import Box
from napari_seglite.inference import View, image_pass
from napari_seglite.inference.mosaic import Mosaic, TileGrid
from napari_seglite.inference.rescaling import Resampling
from napari_seglite.inference.tiling import count_tiles


@pytest.fixture
def untrained(store):
    """Return the card of a stored small network with fresh weights."""
    torch.manual_seed(0)
    info = CheckpointInfo("untrained", "unet-sharp", options={"preset": "tiny"})
    return store.save(info, info.build().state_dict())


@pytest.fixture
def segmenter(store, untrained):
    """Return one that has measured its memory format already."""
    found = Segmenter(store)
    found.segment(np.eye(64), SegmentRequest(untrained.id, "YX", "cpu"))
    return found


@pytest.fixture
def stack(blobs):
    """Return an image float32 (3, 192, 240)."""
    image = np.tile(blobs[0], (2, 2))
    return np.stack([image, image[::-1], image[:, ::-1]])


def drive(steps, stop_after):
    """Take steps, and press the button after so many tiles."""
    taken = []
    try:
        while True:
            progress = next(steps)
            if progress.done and (not taken or progress.done > taken[-1].done):
                taken.append(progress)
            if len(taken) == stop_after:
                pressed.append(True)
    except StopIteration as end:
        return end.value, taken


pressed: list[bool] = []


@pytest.fixture(autouse=True)
def _release_the_button():
    pressed.clear()


def request(untrained, **settings):
    return SegmentRequest(untrained.id, "ZYX", "cpu", tile=128, overlap=32, **settings)


def seen(frame, *box):
    return lambda: View(frame, Box(*box) if box else None)


@pytest.mark.parametrize("stop_after", [1, 4, 11, 14])
@pytest.mark.parametrize("view", [lambda: None, seen(1, 100, 150, 180, 230)])
def test_a_cancelled_run_goes_on_where_it_was(segmenter, untrained, stack, stop_after, view):
    expected = segmenter.segment(stack, request(untrained))
    level = float(np.median(expected.probabilities))
    expected = expected.relabel(threshold=level)
    asked = request(untrained, threshold=level)
    part, _ = drive(segmenter.run(stack, asked, lambda: bool(pressed), view=view), stop_after)
    assert not part.complete
    assert 0 < part.share < 1
    done = part.asked()
    assert done.mean() == pytest.approx(part.share)
    np.testing.assert_array_equal(part.labels[done], expected.labels[done])
    assert not part.labels[~done].any()
    pressed.clear()
    whole, taken = drive(segmenter.run(stack, asked, resume=part, view=view), 0)
    assert whole.complete
    np.testing.assert_array_equal(whole.probabilities, expected.probabilities)
    np.testing.assert_array_equal(whole.labels, expected.labels)
    assert len(taken) == 3 * count_tiles(192, 240, 128, 32) - stop_after  # none of them twice
    assert taken[-1].done == taken[-1].total


@pytest.mark.parametrize(("rescale", "ensemble"), [(1.6, "none"), (1.0, "flips"), (0.7, "flips")])
def test_the_order_changes_nothing(segmenter, untrained, stack, rescale, ensemble):
    asked = replace(
        request(untrained, rescale=rescale, ensemble=ensemble, region="30,20,130,150"),
        tile=64,
        overlap=32,
    )
    plain = segmenter.segment(stack, asked)
    views = iter([View(2, Box(80, 90, 110, 140))] * 9 + [View(1, Box(0, 0, 60, 60))] * 1000)
    found, _ = drive(segmenter.run(stack, asked, view=lambda: next(views)), 0)
    np.testing.assert_array_equal(found.probabilities, plain.probabilities)
    if ensemble == "flips":
        np.testing.assert_array_equal(found.disagreement, plain.disagreement)


def test_what_is_seen_comes_first(segmenter, untrained, stack):
    view = seen(1, 150, 190, 180, 230)
    steps = segmenter.run(stack, replace(request(untrained), tile=64, overlap=16), view=view)
    shown = [progress.finished for progress in steps if progress.finished is not None]
    first = shown[0]
    assert first.frame == 1
    assert first.box.top < 165 < first.box.bottom
    assert first.box.left < 210 < first.box.right
    frames = [each.frame for each in shown]
    assert frames == sorted(frames, key=[1, 0, 2].index)
    # A tile shows as soon as it is done: all but the strips that it shares with its neighbours.
    assert np.prod(first.box.shape) > 0.6 * 64 * 64


def test_slices_of_a_network_that_sees_several_follow_one_another(store, stack):
    torch.manual_seed(0)
    name = next(n for n in src_models.names() if src_models.card(n).context_slices > 1)
    info = store.save(CheckpointInfo("context", name), src_models.create(name).state_dict())
    asked = SegmentRequest(info.id, "ZYX", "cpu")
    image = np.concatenate([stack, stack])[:, :64, :64]
    plain = Segmenter(store).segment(image, asked)
    steps = Segmenter(store).run(image, asked, view=seen(2))
    found, taken = drive(steps, 0)
    frames = dict.fromkeys(p.finished.frame for p in taken if p.finished)
    assert list(frames) == [2, 3, 4, 5, 1, 0]
    np.testing.assert_array_equal(found.probabilities, plain.probabilities)


@pytest.mark.parametrize("limit", [0, 10**9])
def test_lazy_images_are_read_in_larger_parts(segmenter, untrained, stack, monkeypatch, limit):
    class Lazy:
        shape, dtype, asked = stack.shape, stack.dtype, []

        def __getitem__(self, where):
            self.asked.append(where)
            return stack[where]

    asked = replace(request(untrained), tile=64, overlap=16)
    expected = segmenter.segment(stack, asked)
    monkeypatch.setattr(image_pass, "READ_AT_ONCE", limit)
    found = segmenter.segment(Lazy(), asked)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    in_pass = [where for where in Lazy.asked if isinstance(where[0], int)]
    rows = 1 if limit else 4
    assert len(in_pass) <= 3 * rows + 3  # and once each to measure intensities
    Lazy.asked.clear()


def test_a_changed_request_begins_anew(segmenter, untrained, stack):
    part, _ = drive(segmenter.run(stack, request(untrained), lambda: bool(pressed)), 5)
    pressed.clear()
    other = SegmentRequest(untrained.id, "ZYX", "cpu", tile=96, overlap=32)
    whole, taken = drive(segmenter.run(stack, other, resume=part), 0)
    assert len(taken) == taken[-1].total
    np.testing.assert_array_equal(
        whole.probabilities, segmenter.segment(stack, other).probabilities
    )
    relabelled = request(untrained, threshold=0.9, output="instances", min_size=0)
    whole, taken = drive(segmenter.run(stack, relabelled, resume=part), 0)
    assert len(taken) < taken[-1].total  # probabilities are the same
    assert whole.request == replace(
        relabelled.resolved(whole.info), runtime="torch", precision="exact"
    )


def test_a_region_can_be_cancelled(segmenter, untrained, stack):
    asked = request(untrained, region="30,20,190,220")
    part, _ = drive(segmenter.run(stack, asked, lambda: bool(pressed)), 10)
    assert part.coverage.whole[0]
    assert part.coverage.frame(0).shape == (160, 200)
    assert 0 < part.coverage.share < 1
    whole, _ = drive(segmenter.run(stack, asked, resume=part), 0)
    expected = segmenter.segment(stack, asked)
    np.testing.assert_array_equal(whole.probabilities, expected.probabilities)


def test_nothing_finished_is_cancelled(segmenter, untrained, stack):
    with pytest.raises(Cancelled):
        drive(segmenter.run(stack, request(untrained), lambda: True), 1)


@pytest.mark.parametrize(
    ("length", "tile", "overlap"), [(300, 64, 16), (194, 128, 64), (90, 96, 9)]
)
def test_tiles_blend_in_any_order(length, tile, overlap):
    rng = np.random.default_rng(0)
    shape = length, length - 30
    box = Box.whole(shape)
    grid = TileGrid(Resampling(shape, box), box, tile, overlap)
    tiles = {
        place: rng.random((2, *grid.tile_box(place).shape), np.float32)
        for place in np.ndindex(*grid.shape)
    }
    plain = np.zeros((2, *shape), np.float32)
    for (i, j), values in tiles.items():
        weighted = values * grid.rows.weights[i][:, None] * grid.columns.weights[j]
        plain[:, *grid.tile_box((i, j)).slices] += weighted
    for _ in range(4):
        mosaic = Mosaic(grid, np.zeros(grid.shape, bool), {})
        blended = np.full_like(plain, np.nan)
        for place in rng.permutation(list(tiles)):
            place = tuple(place.tolist())
            for patch in mosaic.add(place, tiles[place]):
                assert np.isnan(blended[:, *patch.box.slices]).all()  # none comes twice
                blended[:, *patch.box.slices] = patch.values
            finished = grid.finished_cells(mosaic.done)
            assert finished.sum() == sum(
                all(mosaic.done[t] for t in grid.tiles_of(cell))
                for cell in np.ndindex(finished.shape)
            )
        np.testing.assert_array_equal(blended, plain)
        assert not mosaic.waiting
