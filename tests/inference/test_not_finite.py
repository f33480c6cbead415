"""A network that gives no numbers is told in a sentence, and is not taken for an empty image."""

import numpy as np
import pytest
import tifffile
import torch

from napari_seglite import Segmenter, SegmentRequest, segment
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.cli import main
from napari_seglite.errors import CheckpointError
from napari_seglite.inference import estimate_object_size
from napari_seglite.inference.finite import finite


@pytest.fixture
def spoilt(store):
    """Return a function that stores a tiny UNet# one of whose weights is a given value."""

    def save(value, name="spoilt", **fields):
        torch.manual_seed(0)
        options = {"preset": "tiny"}
        info = CheckpointInfo(name, "unet-sharp", options=options, **fields)
        weights = info.build().state_dict()
        weights["nodes.0_0.0.0.weight"][0, 0, 1, 1] = value
        return store.save(info, weights)

    return save


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("ensemble", ["none", "flips"])
def test_what_is_not_finite_is_an_error_that_names_the_checkpoint(spoilt, blobs, value, ensemble):
    spoilt(value)
    with pytest.raises(CheckpointError, match=r"spoilt gives .* NaN or infinite") as told:
        segment(blobs[0], SegmentRequest("spoilt", "YX", "cpu", ensemble=ensemble))
    for hint in ("in this image", "another checkpoint", "another precision", "normalisation"):
        assert hint in str(told.value)


def test_the_slice_is_named(spoilt, blobs):
    spoilt(float("nan"))
    stack = np.stack([blobs[0]] * 4)
    with pytest.raises(CheckpointError, match="in slice 2,"):
        segment(stack, SegmentRequest("spoilt", "ZYX", "cpu", frames=(2, 3)))


def test_a_network_without_numbers_sees_no_empty_image(spoilt, blobs):
    spoilt(float("nan"))
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        segment(blobs[0], SegmentRequest("spoilt", "YX", "cpu", keep_empty=True))


def test_an_estimate_of_sizes_finds_no_empty_image_either(spoilt, blobs, store):
    spoilt(float("nan"), objects=True, object_diameter=20.0, smallest_object=10)
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        estimate_object_size(blobs[0], SegmentRequest("spoilt", "YX", "cpu"), Segmenter(store))


def test_the_shell_names_file_and_checkpoint_and_goes_on(spoilt, blobs, tmp_path, capsys):
    spoilt(float("nan"))
    tifffile.imwrite(tmp_path / "a.tif", blobs[0])
    tifffile.imwrite(tmp_path / "flat.tif", np.full((40, 40), 3, np.uint8))
    out = tmp_path / "out"
    words = ["--checkpoint", "spoilt", "--output", str(out), "--device", "cpu"]
    assert main(["segment", str(tmp_path / "a.tif"), str(tmp_path / "flat.tif"), *words]) == 1
    told = capsys.readouterr().err
    assert "a.tif: Checkpoint spoilt gives probabilities that are NaN or infinite" in told
    assert [path.name for path in out.iterdir()] == ["flat_labels.tif"]


def test_numbers_of_any_size_are_numbers():
    values = np.array([[0, 1, 1e38, -1e38]], np.float32)
    assert finite(values, "a", "this image") is values
    for wrong in ([np.nan, 1], [np.inf, -np.inf], [-np.inf, 0]):
        with pytest.raises(CheckpointError):
            finite(np.array(wrong, np.float32), "a", "this image")
