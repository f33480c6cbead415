import pytest

from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.errors import CheckpointError
from napari_seglite.inference.object_size import Trial, choose_scale


@pytest.mark.parametrize(
    ("trials", "rescale"),
    [
        ([Trial(0.25, 20, 20.0, 0.8), Trial(1, 3, 45.0, 0.8)], 0.25),
        ([Trial(0.5, 20, 9.0, 0.7), Trial(1, 20, 18.0, 0.8)], 1),  # near enough
        ([Trial(2, 1, 20.0, 0.9)], None),  # one object says nothing
    ],
)
def test_the_scale_where_objects_have_the_size_that_was_learnt(trials, rescale):
    info = CheckpointInfo("cells", "s-net", objects=True, object_diameter=20.0)
    size = choose_scale(trials, info)
    assert (size and size.rescale) == rescale


@pytest.mark.parametrize("diameter", [-1.0, float("nan"), float("inf")])
def test_a_diameter_that_cannot_be(diameter):
    with pytest.raises(CheckpointError, match="diameter"):
        CheckpointInfo("cells", "s-net", object_diameter=diameter)
