"""Labels are compared with their image at the same place, however the two are stored."""

import itertools

import nibabel
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, inv_ornt_aff

from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.cli.fine_tune import read_pairs
from napari_seglite.errors import ImageError
from napari_seglite.formats import (
    in_order_of,
    orientation_of,
    read_image,
    read_label_file,
    read_label_pair,
    read_labels_for,
    write_labels,
)

SHAPE = (7, 6, 5)
ORIENTATIONS = [
    np.array([*zip(axes, flips, strict=True)])
    for axes in itertools.permutations(range(3))
    for flips in ((1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1))
]


def turned(degrees=0.0, sizes=(0.5, 0.75, 3.0), place=(91.5, -126.25, -72)):
    """Return an affine that is turned about the first axis."""
    a = np.deg2rad(degrees)
    affine = np.eye(4)
    affine[:3, :3] = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    affine[:3, :3] @= np.diag(sizes)
    affine[:3, 3] = place
    return affine


def save(path, voxels, affine):
    path.parent.mkdir(exist_ok=True)
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def stored_otherwise(path, voxels, affine, orientation):
    """Save the same voxels at the same places in another order."""
    other = apply_orientation(voxels, orientation)
    return save(path, other, affine @ inv_ornt_aff(orientation, voxels.shape[:3]))


@pytest.fixture
def mask():
    return np.random.default_rng(1).integers(0, 5, SHAPE, np.uint8)


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=lambda o: "".join(map(str, o.ravel())))
@pytest.mark.parametrize("degrees", [0, 44])
def test_labels_stored_in_another_order(tmp_path, mask, orientation, degrees):
    affine = turned(degrees)
    image = read_image(save(tmp_path / "image.nii", mask.astype(np.int16), affine))
    stored_otherwise(tmp_path / "labels.nii", mask, affine, orientation)
    labels = read_labels_for(image, tmp_path / "labels.nii")
    np.testing.assert_array_equal(labels.array, image.array)
    assert labels.array.dtype == np.uint8
    assert labels.axes.order == image.axes.order
    assert labels.grid.spacing == pytest.approx(image.grid.spacing, rel=1e-5)
    np.testing.assert_allclose(labels.grid.affine, image.grid.affine, atol=1e-4)


def test_a_single_slice_and_a_series(tmp_path, mask):
    affine, flipped = turned(), np.array([(0, -1), (1, -1), (2, -1)])
    image = read_image(save(tmp_path / "a.nii", mask[:, :, :1], affine))
    stored_otherwise(tmp_path / "b.nii", mask[:, :, :1], affine, flipped)
    assert read_labels_for(image, tmp_path / "b.nii").axes.order == "YX"
    np.testing.assert_array_equal(read_labels_for(image, tmp_path / "b.nii").array, image.array)
    # The plane of the image is stored as another one of the labels.
    turned_over = np.array([(2, 1), (0, 1), (1, -1)])
    stored_otherwise(tmp_path / "c.nii", mask[:, :, :1], affine, turned_over)
    np.testing.assert_array_equal(read_labels_for(image, tmp_path / "c.nii").array, image.array)

    movie = np.stack([mask, mask + 1], -1)
    image = read_image(save(tmp_path / "t.nii", movie, affine))
    other = apply_orientation(movie, flipped)
    save(tmp_path / "s.nii", other, affine @ inv_ornt_aff(flipped, mask.shape))
    labels = read_labels_for(image, tmp_path / "s.nii")
    assert labels.axes.order == "TZYX"
    np.testing.assert_array_equal(labels.array, image.array)


@pytest.mark.parametrize(
    ("affine", "shape", "reason"),
    [
        (turned(sizes=(0.5, 0.75, 2.0)), SHAPE, "0.5 x 0.75 x 2 mm large .* 0.5 x 0.75 x 3 mm"),
        (turned(degrees=15), SHAPE, "turned by 15°"),
        (turned(place=(91.5, -126.25, -69)), SHAPE, "3 mm away"),
        (turned(place=(91.8, -126.25, -72)), SHAPE, "0.3 mm away"),
        (turned(), (7, 6, 4), "7 x 6 x 4 voxels .* 7 x 6 x 5"),
    ],
)
def test_labels_that_lie_elsewhere_are_refused(tmp_path, mask, affine, shape, reason):
    image = read_image(save(tmp_path / "image.nii", mask, turned()))
    save(tmp_path / "labels.nii", np.zeros(shape, np.uint8), affine)
    with pytest.raises(ImageError, match=rf"labels\.nii: .*{reason}"):
        read_labels_for(image, tmp_path / "labels.nii")


def test_less_than_half_a_voxel_is_nothing(tmp_path, mask):
    image = read_image(save(tmp_path / "image.nii", mask, turned()))
    save(tmp_path / "labels.nii", mask, turned(place=(91.7, -126.25, -71)))
    np.testing.assert_array_equal(
        read_labels_for(image, tmp_path / "labels.nii").array, image.array
    )


def test_where_the_axes_point(tmp_path, mask):
    image = read_image(save(tmp_path / "image.nii", mask, np.diag([-1.0, -1, 2, 1])))
    assert orientation_of(image.grid) == "LPS"
    stored_otherwise(tmp_path / "b.nii", mask, np.eye(4), np.array([(2, 1), (0, -1), (1, 1)]))
    assert orientation_of(read_image(tmp_path / "b.nii").grid) == "PSR"
    write_labels(tmp_path / "c.nii", mask)
    assert orientation_of(read_image(tmp_path / "c.nii").grid) == ""


def test_labels_without_a_place_stay_as_they_are(tmp_path, mask):
    image = read_image(save(tmp_path / "image.nii", mask, turned()))
    write_labels(tmp_path / "labels.tif", mask.T[::-1])
    labels = read_label_file(tmp_path / "labels.tif")
    assert in_order_of(labels, image) is labels
    assert in_order_of(image, labels) is image


def test_a_prediction_is_read_in_the_order_of_its_reference(tmp_path, mask):
    save(tmp_path / "a" / "case.nii.gz", mask, turned(30))
    stored_otherwise(tmp_path / "b" / "case.nii.gz", mask, turned(30), ORIENTATIONS[9])
    prediction, reference = read_label_pair(
        tmp_path / "a" / "case.nii.gz", tmp_path / "b" / "case.nii.gz"
    )
    np.testing.assert_array_equal(prediction.array, reference.array)
    assert prediction.array.shape != mask.T.shape


def test_fine_tuning_pairs_the_voxels_of_one_place(tmp_path):
    bright = np.zeros((48, 40, 2), np.uint8)
    bright[5:20, 8:16] = 1
    affine = np.diag([-0.5, -0.6, 2.0, 1])
    save(tmp_path / "images" / "a.nii.gz", bright * 200, affine)
    stored_otherwise(tmp_path / "labels" / "a.nii.gz", bright, affine,
                     np.array([(0, -1), (1, -1), (2, 1)]))  # fmt: skip
    info = CheckpointInfo("new", "s-net")
    frames, size = read_pairs(tmp_path / "images", tmp_path / "labels", info)
    assert len(frames) == 2
    assert size == pytest.approx((600, 500))
    for frame in frames:
        np.testing.assert_array_equal(frame.labels > 0, frame.frame[0] > frame.frame.mean())
