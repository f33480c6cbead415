"""Objects do not depend on how a mask is cut into blocks."""

import numpy as np
import pytest
import scipy.ndimage as ndi
import zarr
from skimage.morphology import reconstruction
from skimage.segmentation import watershed
from whole import to_labels

from napari_seglite.images import ImageAxes, LabelFrames, blocks, chunked
from napari_seglite.labels import Foreground, label_frames
from napari_seglite.labels.objects import SPLIT_DEPTH, find_components


@pytest.fixture
def small_blocks(monkeypatch):
    """Cut everything into blocks of 16 pixels and 2 slices."""
    for name, value in {"CHUNK": 16, "DEPTH": 2, "BLOCK_PIXELS": 600}.items():
        monkeypatch.setattr(chunked, name, value)


def speckle(shape, seed=0):
    """Return a mask of many odd components, some of them large."""
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndi.gaussian_filter(noise, 2) > 0.02


@pytest.mark.parametrize("shape", [(40, 70), (16, 16), (5, 33, 40), (1, 1), (0 + 3, 50, 17)])
def test_blocks_cover_everything_once(small_blocks, shape):
    seen = np.zeros(shape, int)
    for block in blocks(shape):
        seen[block] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("shape", [(90, 130), (7, 50, 60)])
def test_components_equal_those_of_the_whole(small_blocks, shape):
    mask = speckle(shape)
    components = find_components(lambda block: mask[block], shape)
    labels, count = ndi.label(mask)
    assert len(components.sizes) == count > 2
    order = np.argsort(components.first_pixel)
    np.testing.assert_array_equal(components.sizes[order], np.bincount(labels.ravel())[1:])
    for number, box in zip(order, ndi.find_objects(labels), strict=True):
        assert components.begin[number].tolist() == [edge.start for edge in box]
        assert components.end[number].tolist() == [edge.stop for edge in box]


@pytest.mark.parametrize("output", ["semantic", "instances"])
@pytest.mark.parametrize("volume", [False, True])
@pytest.mark.parametrize("classes", [1, 3])
def test_labels_do_not_depend_on_blocks(monkeypatch, output, volume, classes):
    values = ndi.gaussian_filter(
        np.random.default_rng(1).normal(size=(5, classes, 80, 90)), (1, 0, 3, 3)
    )
    probabilities = np.exp(25 * values)
    probabilities /= probabilities.sum(1, keepdims=True) + (classes == 1)
    settings = (probabilities.astype(np.float16), 0.5, 12, output, volume)
    whole = to_labels(*settings)
    monkeypatch.setattr(chunked, "CHUNK", 16)
    monkeypatch.setattr(chunked, "DEPTH", 2)
    monkeypatch.setattr(chunked, "BLOCK_PIXELS", 600)
    np.testing.assert_array_equal(to_labels(*settings), whole)
    assert whole.max() > (10 if output == "instances" else classes - 2)


def test_objects_are_numbered_in_the_order_of_their_first_pixels(small_blocks):
    mask = speckle((60, 80))[None, None].astype(np.float32)
    labels = to_labels(mask, 0.5, 5, "instances", False)[0]
    ids, first = np.unique(labels, return_index=True)
    assert ids.tolist() == list(range(len(ids)))
    assert (np.diff(first[1:]) > 0).all()
    sizes = np.bincount(labels.ravel())[1:]
    assert sizes.min() >= 5


def discs():
    y, x = np.mgrid[:40, :60]
    return ((y - 20) ** 2 + (x - 18) ** 2 < 120) | ((y - 20) ** 2 + (x - 36) ** 2 < 120)


def instances(mask):
    return to_labels(mask[None, None].astype(np.float16), 0.5, 0, "instances", False)[0]


def test_a_part_is_split_without_regard_to_what_is_near():
    two = discs()
    alone = instances(two)
    assert alone.max() == 2
    near = two.copy()
    near[32:37] = True  # one row of background lies between
    near[20, 48:52] = True
    np.testing.assert_array_equal(np.where(two, instances(near), 0), alone)
    assert instances(near).max() == 4
    assert (instances(np.ones((3, 4), bool)) == 1).all()


def with_scikit_image(mask):
    """Split a part the slow way."""
    smooth = ndi.gaussian_filter(ndi.distance_transform_edt(mask), 1)
    distance = np.where(mask, smooth * 16, 0).astype(np.int32)
    height = distance - reconstruction(distance - SPLIT_DEPTH, distance).astype(np.int32)
    domes, count = ndi.label(height > 0, np.ones((3,) * mask.ndim))
    tops = ndi.maximum(height, domes, np.arange(count + 1))
    peaks = np.where(np.asarray(tops)[domes] >= SPLIT_DEPTH, domes, 0) * mask
    return watershed(-distance, peaks, mask=mask)


@pytest.mark.parametrize("shape", [(90, 130), (20, 60, 70)])
def test_objects_are_those_of_scikit_image(shape):
    mask = speckle(shape, seed=3)
    labels, _ = ndi.label(mask)
    volume = len(shape) == 3
    probabilities = (mask if volume else mask[None])[:, None].astype(np.float16)
    ours = to_labels(probabilities, 0.5, 0, "instances", volume).reshape(shape)
    several = 0
    for number, box in enumerate(ndi.find_objects(labels), 1):
        part = labels == number
        # Of the image's border no distance is taken, so the whole image is looked at.
        expected = with_scikit_image(part)[part]
        found = ours[part]
        assert len(np.unique(found)) == max(1, len(np.unique(expected)))
        if len(np.unique(expected)) < 2:
            continue
        several += 1
        # The same objects; of the pixels on their borders, a few fall to the other side.
        match = np.array([np.bincount(found[expected == k]).max() for k in np.unique(expected)])
        assert match.sum() > 0.93 * part.sum(), box
    assert several > 1


def test_touching_objects_of_a_thin_stack_are_separated():
    stack = np.stack([discs()] * 3)[:, None].astype(np.float32)
    # The stack ends above and below; that is no border of the objects.
    labels = to_labels(stack, 0.5, 0, "instances", True)
    assert labels.max() == 2
    np.testing.assert_array_equal(labels[0], to_labels(stack[:1], 0.5, 0, "instances", False)[0])


@pytest.mark.parametrize("output", ["semantic", "instances"])
def test_what_does_not_fit_into_memory_is_labelled_on_disk(small_blocks, monkeypatch, output):
    probabilities = speckle((3, 70, 90))[:, None].astype(np.float16)
    expected = to_labels(probabilities, 0.5, 10, output, True)
    monkeypatch.setattr(chunked, "IN_MEMORY", 1000)
    kept = chunked.zeros(probabilities.shape, np.float16)
    assert isinstance(kept, zarr.Array)
    kept[:] = probabilities
    labels = chunked.zeros((3, 70, 90), np.uint32)
    target = LabelFrames(labels, ImageAxes("ZYX"), labels.shape)
    counts = label_frames(Foreground(kept, 0.5), [[0, 1, 2]], target, 10, output)
    np.testing.assert_array_equal(labels[:], expected)
    assert counts.pixels == np.count_nonzero(expected)


def test_a_temporary_folder_goes_with_its_array(monkeypatch, tmp_path):
    import gc
    import tempfile

    monkeypatch.setattr(chunked, "IN_MEMORY", 10)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    array = chunked.zeros((30, 30), np.uint8)
    array[:] = 1
    assert len(list(tmp_path.iterdir())) == 1
    del array
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("order", ["ZYX", "XYZ", "TXZY", "YX"])
def test_frames_of_axes_in_any_order(order):
    sizes = {"T": 2, "Z": 3, "Y": 5, "X": 7}
    shape = tuple(sizes[a] for a in order)
    axes = ImageAxes(order)
    labels = np.arange(np.prod(shape)).reshape(shape)
    planes = axes.split(labels)
    last = len(planes) - 1
    frames = LabelFrames(labels, axes, shape, [last], (1, 2))
    box = (slice(0, 2), slice(1, 4))
    np.testing.assert_array_equal(frames.read(0, *box), planes[last][1:3, 3:6])
    frames.write(0, *box, np.full((2, 3), -1))
    assert (axes.split(labels)[last][1:3, 3:6] == -1).all()
    assert (labels == -1).sum() == 6


def labelled(probabilities, **settings):
    labels = np.zeros((len(probabilities), *probabilities.shape[-2:]), np.uint32)
    target = LabelFrames(labels, ImageAxes("ZYX"), labels.shape)
    smooth = settings.pop("smooth", 0.0)
    groups = [[k] for k in range(len(labels))]
    label_frames(
        Foreground(probabilities, 0.5, smooth=smooth), groups, target, 0, "semantic", **settings
    )
    return labels


def test_holes_are_filled_slice_by_slice(small_blocks):
    mask = speckle((2, 90, 110), seed=4)
    filled = labelled(mask[:, None].astype(np.float16), fill_holes=10**6)
    expected = np.stack([ndi.binary_fill_holes(plane) for plane in mask])
    assert expected.sum() > mask.sum() + 50
    np.testing.assert_array_equal(filled > 0, expected)


def test_large_holes_stay():
    mask = np.ones((1, 1, 40, 60), np.float16)
    mask[0, 0, 5:8, 5:8] = 0  # 9 pixels
    mask[0, 0, 20:24, 20:25] = 0  # 20 pixels
    mask[0, 0, :2, 40:42] = 0  # at the border, so no hole
    filled = labelled(mask, fill_holes=9)[0]
    assert filled[5:8, 5:8].all()
    assert not filled[20:24, 20:25].any()
    assert not filled[:2, 40:42].any()


def test_smoothing_does_not_depend_on_blocks(small_blocks):
    probabilities = np.random.default_rng(2).random((2, 1, 70, 90)).astype(np.float16)
    expected = [ndi.gaussian_filter(p[0].astype(np.float32), 2.5, mode="nearest") > 0.5
                for p in probabilities]  # fmt: skip
    np.testing.assert_array_equal(labelled(probabilities, smooth=2.5) > 0, expected)
