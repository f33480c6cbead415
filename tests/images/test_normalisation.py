"""Channels are standardised as published code does it, whatever the image is stored in."""

import numpy as np
import pytest

from napari_seglite.images import Normalisation

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STANDARD = Normalisation(mean=MEAN, std=STD)


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (3, 20, 30), np.uint8)


def standardised(picture):
    """Return what the authors' code feeds its network with."""
    mean, std = (np.reshape(each, (3, 1, 1)) for each in (MEAN, STD))
    return ((picture / 255 - mean) / std).astype(np.float32)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: x.astype(np.uint16) * 257,  # the full range of 16 bits
        lambda x: (x.astype(np.int16) - 128).astype(np.int8),
        lambda x: x.astype(np.int64),  # by value
        lambda x: x.astype(np.float32),
        lambda x: x / 255,
    ],
)
def test_each_channel_is_standardised_whatever_the_dtype(picture, change):
    image = change(picture)
    frame = STANDARD.apply(image, STANDARD.limits(image))
    assert frame.dtype == np.float32
    np.testing.assert_allclose(frame, standardised(picture), atol=1e-5)
    np.testing.assert_allclose(STANDARD.undo(frame), picture / 255, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_a_dark_image_stays_dark(dtype):
    info = np.iinfo(dtype)
    image = np.array([info.min, info.min + 1], dtype)
    assert STANDARD.limits(image) == (info.min, info.max)


def test_other_numbers_take_their_own_range_and_holes_the_mean(picture):
    image = picture.astype(np.float64) * 100 - 5000
    image[:, 0] = np.nan
    frame = STANDARD.apply(image, STANDARD.limits(image))
    assert (frame[:, 0] == 0).all()
    least, most = np.nanmin(image), np.nanmax(image)
    expected = standardised((image - least) / (most - least) * 255)
    np.testing.assert_allclose(frame[:, 1:], expected[:, 1:], atol=1e-5)
    flat = np.full((3, 4, 4), 7, np.uint8)
    assert (STANDARD.apply(flat, STANDARD.limits(flat)) == 0).all()
    mask = np.eye(4, dtype=bool)
    with pytest.raises(ValueError, match="3 channels were expected, not 4"):
        STANDARD.apply(np.zeros((4, 3, 3)), (0.0, 1.0))
    one = Normalisation(mean=(0.5,), std=(0.25,))
    assert set(np.unique(one.apply(mask, one.limits(mask)))) == {-2, 2}


def test_channels_are_fitted_to_another_number():
    assert STANDARD.with_channels(3) is STANDARD
    assert Normalisation().with_channels(5) == Normalisation()
    assert STANDARD.with_channels(1).mean == pytest.approx([np.mean(MEAN)])
    assert STANDARD.with_channels(5).std == (*STD, *STD[:2])
    black, white = (STANDARD.apply(np.full((3, 1, 1), v), (0.0, 1.0)).ravel() for v in (0.0, 1.0))
    np.testing.assert_allclose(STANDARD.inverted_sums, black + white, atol=1e-6)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5,), (), "1 means and 0 standard"),
        ((0.5,), (0.0,), "above 0"),
        ((0.5,), (float("inf"),), "above 0"),
        ((float("nan"),), (1.0,), "finite"),
    ],
)
def test_statistics_are_checked(mean, std, message):
    with pytest.raises(ValueError, match=message):
        Normalisation(mean=mean, std=std)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32, bool])
def test_percentiles_do_not_depend_on_the_dtype_that_holds_the_numbers(dtype):
    rng = np.random.default_rng(3)
    image = rng.integers(0, 2, 5001) if dtype is bool else rng.normal(90, 25, 5001).clip(0, 250)
    image = image.astype(dtype)
    if dtype is np.int16:
        image[:2500] = -32768  # the difference of neighbours overflows
        image[2500:] = 32767
    before = image.copy()
    limits = Normalisation(49.99, 99).limits(image)
    assert limits == tuple(np.percentile(image.astype(np.float64), (49.99, 99)))
    np.testing.assert_array_equal(image, before)
