"""Object heads: what they learn from labels, and what is read from their output."""

import numpy as np
import pytest
import torch

import src_models
from src_models import object_heads


def touching(shape=(40, 60)):
    """Return two objects that share a straight border, and one by itself."""
    labels = np.zeros(shape, np.int32)
    labels[5:25, 5:20], labels[5:25, 20:35], labels[30:36, 40:55] = 7, 3, 900
    return labels


@pytest.mark.parametrize("name", object_heads.NAMES)
@pytest.mark.parametrize("dims", [2, 3])
def test_targets(name, dims):
    labels = touching() if dims == 2 else np.repeat(touching()[None], 6, axis=0)
    wanted = object_heads.targets(name, labels, (4, 1, 1)[-dims:])
    assert wanted.shape == (object_heads.channels(name, dims), *labels.shape)
    assert wanted.dtype == np.float32
    background = labels == 0
    away = background & ~object_heads.touching_borders(labels)
    assert not wanted[:, away].any()
    interior = object_heads.interior(name, wanted)
    for each in np.unique(labels)[1:]:
        own = interior[labels == each]
        assert own.max() > 0.9
    if name != "border":
        between = interior[..., 10:20, 19:21]
        assert between.max() < 0.6  # beside the border that two objects share


def test_only_objects_that_touch_have_borders():
    borders = object_heads.targets("border", touching())[0]
    assert borders[10, 19] == borders[10, 20] == 1
    assert not borders[:, :18].any()
    assert not borders[28:].any()


def test_offsets_point_to_the_centre():
    labels = np.zeros((31, 31), int)
    labels[5:26, 5:26] = 2
    rows, columns = object_heads.targets("offset", labels)
    assert rows[15, 15] == columns[15, 15] == 0
    assert rows[5, 15] > 0 > rows[25, 15]
    assert columns[15, 5] > 0 > columns[15, 25]
    assert np.hypot(rows, columns).max() == pytest.approx(1)


@pytest.mark.parametrize("name", object_heads.NAMES)
@pytest.mark.parametrize("axes", [(), (-1,), (-2,), (-2, -1)])
def test_mirrored_back(name, axes):
    labels = np.zeros((25, 41), int)
    labels[3:12, 4:19], labels[12:23, 6:17], labels[3:20, 25:34] = 1, 2, 3
    mirrored = object_heads.targets(name, np.flip(labels, axes) if axes else labels)
    back = object_heads.flipped(name, torch.from_numpy(mirrored), axes)
    np.testing.assert_allclose(back, object_heads.targets(name, labels), atol=1e-6)


@pytest.mark.parametrize("name", object_heads.NAMES)
@pytest.mark.parametrize("axes", [(-3,), (-2, -1), (-3, -1)])
def test_volumes_mirrored_back(name, axes):
    labels, spacing = np.zeros((9, 25, 41), int), (3, 1, 1)
    labels[1:6, 3:12, 4:19], labels[3:8, 12:23, 6:17], labels[2:5, 3:20, 25:34] = 1, 2, 3
    mirrored = object_heads.targets(name, np.flip(labels, axes), spacing)
    back = object_heads.flipped(name, torch.from_numpy(mirrored), axes)
    np.testing.assert_allclose(back, object_heads.targets(name, labels, spacing), atol=1e-6)


@pytest.mark.parametrize("network", src_models.names())
def test_every_network_learns_a_head(network):
    torch.manual_seed(0)
    options = {"preset": "tiny"} if network == "unet-sharp" else {}
    built = src_models.create(network, 1, 3, **options).train()
    slices = src_models.card(network).context_slices
    x = torch.randn((2, slices, 1, 64, 64) if slices > 1 else (2, 1, 64, 64))
    labels = np.stack([np.pad(touching(), ((0, 24), (0, 4)))] * 2)
    wanted = torch.from_numpy(np.stack([object_heads.targets("distance", each) for each in labels]))
    truth = torch.from_numpy(labels).long()

    def loss(weight=None):
        return src_models.training_loss(built, network, x, truth, weight, "distance", wanted)

    own = loss()
    own.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in built.parameters())
    state = built.state_dict()
    nothing = torch.zeros(2, 64, 64)
    torch.manual_seed(0)
    built.load_state_dict(state)
    assert loss(nothing).detach() < own.detach()  # what is not annotated teaches no head


def test_no_such_head():
    with pytest.raises(KeyError):
        object_heads.channels("rays")
