import math

import pytest
import torch

from src_models.losses import bce_dice, cross_entropy, soft_dice_loss


def test_one_class_by_hand():
    logits = torch.tensor([[[[0.0, math.log(3)]]]])  # probabilities 1/2 and 3/4
    labels = torch.tensor([[[0, 5]]])
    bce = -(math.log(1 / 2) + math.log(3 / 4)) / 2
    dice = 1 - (2 * 3 / 4 + 1) / (1 / 2 + 3 / 4 + 1 + 1)
    assert cross_entropy(logits, labels).item() == pytest.approx(bce)
    assert soft_dice_loss(logits, labels).item() == pytest.approx(dice)
    assert bce_dice(logits, labels).item() == pytest.approx(bce + dice)


def test_several_classes_by_hand():
    probabilities = torch.tensor([[0.5, 0.2], [0.25, 0.2], [0.25, 0.6]])  # class, pixel
    logits = probabilities.log()[None, :, None]
    labels = torch.tensor([[[0, 2]]])
    assert cross_entropy(logits, labels).item() == pytest.approx(-math.log(0.5 * 0.6) / 2)
    one = 1 - 1 / (0.45 + 0 + 1)
    two = 1 - (2 * 0.6 + 1) / (0.85 + 1 + 1)
    assert soft_dice_loss(logits, labels).item() == pytest.approx((one + two) / 2)


@pytest.mark.parametrize("classes", [1, 3])
def test_weight_zero_means_ignored(classes):
    torch.manual_seed(0)
    logits = torch.randn(2, classes, 4, 4, requires_grad=True)
    labels = torch.randint(0, max(classes, 2), (2, 4, 4))
    weight = torch.ones(2, 4, 4)
    weight[:, 2:] = 0
    other = labels.clone()
    other[:, 2:] = 0
    assert torch.equal(bce_dice(logits, labels, weight), bce_dice(logits, other, weight))
    bce_dice(logits, labels, weight).backward()
    assert logits.grad[:, :, 2:].abs().max() == 0
    assert logits.grad[:, :, :2].abs().min() > 0
