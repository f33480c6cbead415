import math

import pytest
import torch

from src_models import vgg16_file
from src_models.losses import (
    _ssim_and_contrast,
    bce_dice,
    bce_dice_ms_ssim,
    cross_entropy,
    deep_supervision,
    focal_cross_entropy,
    half_bce_image_dice,
    ms_ssim_loss,
    soft_dice_loss,
    structure_loss,
    structure_lossnet,
)
from src_models.lossnet import installed
from src_models.unet_sharp import Supervised
from src_models.vgg16 import VGG16Features


def test_one_class_by_hand():
    logits = torch.tensor([[[[0.0, math.log(3)]]]])  # probabilities 1/2 and 3/4
    labels = torch.tensor([[[0, 5]]])
    bce = -(math.log(1 / 2) + math.log(3 / 4)) / 2
    dice = 1 - (2 * 3 / 4 + 1) / (1 / 2 + 3 / 4 + 1 + 1)
    assert cross_entropy(logits, labels).item() == pytest.approx(bce)
    assert soft_dice_loss(logits, labels).item() == pytest.approx(dice)
    assert bce_dice(logits, labels).item() == pytest.approx(bce + dice)


def test_half_precision_is_summed_in_full():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 200, 200, generator=generator).bfloat16()
    labels = (torch.rand(2, 200, 200, generator=generator) < 0.3).long()
    found = bce_dice(logits, labels)
    assert found.dtype == torch.float32
    assert torch.equal(found, bce_dice(logits.float(), labels))


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


def test_easy_background_counts_little():
    logits = torch.tensor([[[[0.0, math.log(1 / 3), math.log(3)]]]])  # 1/2, 1/4 and 3/4
    labels = torch.tensor([[[0, 0, 1]]])
    expected = -(math.log(1 / 2) / 4 + math.log(3 / 4) / 16 + math.log(3 / 4)) / 3
    assert focal_cross_entropy(logits, labels).item() == pytest.approx(expected)


def test_one_against_the_rest_is_the_softmax():
    """So that two classes, of which one is background, are worth as much as one class."""
    z = torch.randn(2, 1, 8, 8)
    labels = torch.randint(0, 2, (2, 8, 8))
    pair = torch.cat([torch.zeros_like(z), z], dim=1)
    # Its mean over both classes: background against the rest is the same mask turned around.
    both = (structure_loss(z, labels) + structure_loss(-z, 1 - labels)) / 2
    torch.testing.assert_close(structure_loss(pair, labels), both)
    torch.testing.assert_close(focal_cross_entropy(pair, labels), focal_cross_entropy(z, labels))
    torch.testing.assert_close(ms_ssim_loss(pair, labels), ms_ssim_loss(z, labels))


def test_structure_loss_by_hand():
    logits = torch.tensor([[[[0.0, math.log(3)]]]])
    labels = torch.tensor([[[0, 1]]])
    # Padding counts as background in the mean over 31 x 31.
    w = [1 + 5 * abs(1 / 961 - truth) for truth in (0, 1)]
    bce = -(w[0] * math.log(1 / 2) + w[1] * math.log(3 / 4)) / sum(w)
    both, either = w[1] * 3 / 4, w[0] / 2 + w[1]
    expected = bce + 1 - (both + 1) / (either + 1)
    assert structure_loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("classes", [1, 3])
def test_a_weight_of_ones_changes_nothing(classes):
    torch.manual_seed(0)
    logits, labels = torch.randn(2, classes, 40, 24), torch.randint(0, max(classes, 2), (2, 40, 24))
    ones = torch.ones(2, 40, 24)
    for loss in (structure_loss, focal_cross_entropy, ms_ssim_loss, bce_dice):
        torch.testing.assert_close(loss(logits, labels, ones), loss(logits, labels))


def test_half_precision_is_lifted_in_every_loss():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 1, 40, 24), torch.randint(0, 2, (2, 40, 24))
    terms = (soft_dice_loss, half_bce_image_dice)
    for loss in (structure_loss, focal_cross_entropy, ms_ssim_loss, *terms):
        for half in (logits.half(), logits.bfloat16()):
            found = loss(half, labels)
            assert found.dtype == torch.float32
            assert torch.equal(found, loss(half.float(), labels))
        assert loss(logits.double(), labels).dtype == torch.float64


@pytest.mark.parametrize("size", [11, 64])
def test_ms_ssim_pulls_even_opposites_together(size):
    """Where prediction and labels are opposites, contrast is negative at every scale."""
    stripes = (torch.arange(size) // 3 % 2).expand(1, size, size)
    logits = torch.where(stripes > 0, -2.0, 2.0).double()[:, None].requires_grad_()
    _, contrast = _ssim_and_contrast(logits.sigmoid(), stripes[:, None].double(), 11)
    assert contrast.mean() < 0
    loss = ms_ssim_loss(logits, stripes)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(gradient).all()
    direction = gradient / gradient.abs().max()
    assert ms_ssim_loss(logits.detach() - 0.1 * direction, stripes) < loss


def test_ms_ssim_of_one_scale_by_hand():
    """An image of 11 x 11 pixels has one scale and one window."""
    torch.manual_seed(0)
    labels = torch.randint(0, 2, (1, 11, 11))
    logits = torch.randn(1, 1, 11, 11) + labels
    x, y = logits.sigmoid()[0, 0].double(), labels[0].double()
    g = torch.exp(-((torch.arange(11.0) - 5) ** 2) / (2 * 1.5**2)).double()
    g = torch.outer(g, g) / g.sum() ** 2
    mx, my = (g * x).sum(), (g * y).sum()
    vx, vy = (g * x * x).sum() - mx**2, (g * y * y).sum() - my**2
    cov = (g * x * y).sum() - mx * my
    c1, c2 = 0.01**2, 0.03**2
    ssim = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim > 0.1
    assert ms_ssim_loss(logits, labels).item() == pytest.approx(1 - ssim.item(), rel=1e-4)


@pytest.mark.parametrize("shape", [(40, 50), (20, 24, 22)])
def test_ms_ssim_equals_that_of_monai(shape):
    from monai.metrics.regression import compute_ssim_and_cs

    torch.manual_seed(1)
    x, y = torch.rand(3, 2, *shape), torch.rand(3, 2, *shape).round()
    axes = len(shape)
    for window in (11, 7):
        expected = compute_ssim_and_cs(x, y, axes, (window,) * axes, (1.5,) * axes)
        for ours, theirs in zip(_ssim_and_contrast(x, y, window), expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_ms_ssim_is_the_mean_over_all_outputs():
    torch.manual_seed(2)
    outputs, labels = torch.randn(3, 2, 1, 40, 40), torch.randint(0, 2, (2, 40, 40))
    weight = torch.randint(0, 2, (2, 40, 40)).float()
    for w in (None, weight):
        each = [
            term(z, labels, w)
            for z in outputs
            for term in (focal_cross_entropy, soft_dice_loss, ms_ssim_loss)
        ]
        expected = torch.stack(each).sum() / 3
        torch.testing.assert_close(bce_dice_ms_ssim(list(outputs), labels, w), expected)


@pytest.mark.parametrize("size", [1, 2, 10, 11, 43, 160, 200])
def test_ms_ssim_takes_any_size(size):
    labels = torch.randint(0, 2, (1, size, size))
    logits = torch.randn(1, 1, size, size, requires_grad=True)
    ms_ssim_loss(logits, labels).backward()
    assert torch.isfinite(logits.grad).all()
    perfect = torch.where(labels > 0, 50.0, -50.0)[:, None]
    assert ms_ssim_loss(perfect, labels).item() == pytest.approx(0, abs=1e-4)


def test_deep_supervision_by_hand():
    logits, labels = torch.randn(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    absent = torch.tensor([[[2.0, -1.0]]])  # one class: its absence, its presence
    outputs = Supervised([logits] * 8, [absent, absent])
    presence = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2
    expected = bce_dice(logits, labels).item() + presence
    assert deep_supervision(outputs, labels).item() == pytest.approx(expected, rel=1e-5)


def test_the_authors_loss_of_an_output_by_hand():
    """Half the cross-entropy plus Dice of each image, with squares in the denominator."""
    logits = torch.tensor([[[[2.0, -1.0]]], [[[0.5, -3.0]]]])
    labels = torch.tensor([[[1, 0]], [[0, 0]]])
    p = [[1 / (1 + math.exp(-z)) for z in row] for row in ((2.0, -1.0), (0.5, -3.0))]
    entropy = -(math.log(p[0][0]) + sum(math.log(1 - q) for q in (p[0][1], *p[1]))) / 4
    squares = [sum(q * q for q in row) for row in p]
    dice = (2 * p[0][0] + 1e-5) / (squares[0] + 1 + 1e-5), 1e-5 / (squares[1] + 1e-5)
    expected = entropy / 2 + 1 - sum(dice) / 2
    assert half_bce_image_dice(logits, labels).item() == pytest.approx(expected, rel=1e-5)
    absent = torch.tensor([[[0.0, 0.0]]] * 2)
    outputs = Supervised([logits] * 8, [absent, absent])
    presence = deep_supervision(outputs, labels) - bce_dice(logits, labels)
    found = deep_supervision(outputs, labels, term=half_bce_image_dice)
    assert (found - presence).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [focal_cross_entropy, ms_ssim_loss, structure_loss])
@pytest.mark.parametrize("classes", [1, 3])
def test_ignored_pixels_have_no_gradient(loss, classes):
    torch.manual_seed(0)
    logits = torch.randn(2, classes, 24, 24, requires_grad=True)
    labels = torch.randint(0, max(classes, 2), (2, 24, 24))
    weight = torch.ones(2, 24, 24)
    weight[:, 12:] = 0
    loss(logits, labels, weight).backward()
    assert logits.grad[:, :, 12:].abs().max() == 0
    assert logits.grad[:, :, :12].abs().sum() > 0


def test_absence_is_learnt_only_where_all_is_annotated():
    logits, presence = torch.full((1, 1, 4, 4), -9.0), torch.tensor([[[-3.0, 3.0]]])
    outputs = Supervised([logits] * 8, [presence] * 2)
    labels, weight = torch.zeros(1, 4, 4, dtype=torch.long), torch.ones(1, 4, 4)
    assert deep_supervision(outputs, labels, weight).item() > 3  # absent, and said to be present
    for strokes in (weight * 0, weight.index_fill(1, torch.tensor([2]), 0)):
        assert deep_supervision(outputs, labels, strokes).item() < 1.01
    labels[0, 0, 0] = 1  # an annotated object is there, whatever else is annotated
    absent = Supervised([logits] * 8, [-presence] * 2)
    assert deep_supervision(absent, labels, strokes) > deep_supervision(outputs, labels, strokes)


def test_presence_ignores_what_is_ignored():
    labels = torch.tensor([[[0, 1]]])
    weight = torch.tensor([[[1.0, 0.0]]])
    absent = torch.tensor([[[9.0, -9.0]]])
    outputs = Supervised([torch.full((1, 1, 1, 2), -9.0)] * 8, [absent, absent])
    assert deep_supervision(outputs, labels, weight).item() < 0.01
    assert deep_supervision(outputs, labels).item() > 1


def test_m2snet_says_that_lossnet_is_missing(monkeypatch):
    monkeypatch.delenv("SEGLITE_VGG16", raising=False)
    logits, labels = torch.randn(1, 1, 32, 32), torch.randint(0, 2, (1, 32, 32))
    with pytest.warns(UserWarning, match="choose the file vgg16"):
        loss = structure_lossnet(logits, labels)
    assert loss == structure_loss(logits, labels)


@pytest.mark.parametrize("how", ["environment", "chosen"])
def test_m2snet_adds_a_tenth_of_lossnet(how, monkeypatch, tmp_path):
    torch.manual_seed(0)
    vgg = VGG16Features()
    torch.save(vgg.state_dict(), tmp_path / "vgg16.pth")
    if how == "environment":
        monkeypatch.setenv("SEGLITE_VGG16", str(tmp_path / "vgg16.pth"))
    else:  # which counts more
        monkeypatch.setenv("SEGLITE_VGG16", str(tmp_path / "missing.pth"))
        with pytest.raises(FileNotFoundError, match=r"There is no file .*missing\.pth"):
            installed()
        monkeypatch.setattr(vgg16_file, "_chosen", tmp_path / "vgg16.pth")
    logits, labels = torch.randn(1, 1, 48, 32, requires_grad=True), torch.randint(0, 2, (1, 48, 32))

    def features(mask):
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        rgb = (mask.repeat(1, 3, 1, 1) - mean[:, None, None]) / std[:, None, None]
        rgb = torch.nn.functional.interpolate(rgb, (224, 224), mode="bilinear")
        maps = []
        for number, layer in enumerate(vgg.features, start=1):
            rgb = layer(rgb)
            if number in (4, 9, 16, 23):
                maps.append(rgb)
        return maps

    with torch.no_grad():
        pairs = zip(features(logits.sigmoid()), features(labels[:, None].float()), strict=True)
        distance = sum(((a - b) ** 2).mean() for a, b in pairs)
        expected = structure_loss(logits, labels) + 0.1 * distance
    loss = structure_lossnet(logits, labels)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert logits.grad.abs().sum() > 0
    assert all(p.grad is None for p in installed("cpu").parameters())
