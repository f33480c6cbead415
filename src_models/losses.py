"""Training losses.

All losses take logits ``(B, K, H, W)``, integer labels ``(B, H, W)`` and an optional weight
``(B, H, W)`` that is 0 where a pixel is ignored, and return a scalar. With one class (K = 1) any
label above 0 is foreground; with several, label k is class k and class 0 is background. Volumes
have a depth before the height. The losses that network cards name take the result of the network's
``supervised`` method where it has one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .lossnet import installed
from .notices import Notice
from .vgg16_file import PUBLISHED

if TYPE_CHECKING:
    from .unet_sharp import Supervised

# Of the five scales, finest first (Wang et al., 2003).
_MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_MS_SSIM_WINDOW, _MS_SSIM_SIGMA = 11, 1.5
_MS_SSIM_LEAST = 0.01
_IMAGE_DICE_SMOOTH = 1e-5


def soft_dice_loss(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """One minus the Dice coefficient of probabilities, averaged over foreground classes.

    The sums run over the whole batch, so that a patch without foreground does not
    dominate the gradient (Milletari et al., 2016, with the batch variant of nnU-Net).

    Returns
    -------
    Tensor
        Scalar between 0 and 1.
    """
    probabilities, truth = _foreground(_precise(logits), labels)
    if weight is not None:
        probabilities = probabilities * weight[:, None]
        truth = truth * weight[:, None]
    axes = (0, *range(2, logits.ndim))
    both = (probabilities * truth).sum(axes)
    total = probabilities.sum(axes) + truth.sum(axes)
    return (1 - (2 * both + 1) / (total + 1)).mean()


def image_dice_loss(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """One minus the Dice coefficient of each image and class, then averaged (*given*, UNet#).

    The denominator sums squares, and 1e-5 is added above and below. An image without foreground
    costs nearly 1 unless hardly any pixel is predicted.
    """
    probabilities, truth = _foreground(_precise(logits), labels)
    counted = torch.ones_like(truth) if weight is None else weight[:, None]
    axes = tuple(range(2, logits.ndim))
    both = (counted * probabilities * truth).sum(axes)
    total = (counted * (probabilities**2 + truth**2)).sum(axes)
    return (1 - (2 * both + _IMAGE_DICE_SMOOTH) / (total + _IMAGE_DICE_SMOOTH)).mean()


def cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy for one class, categorical for several."""
    logits = _precise(logits)
    if logits.shape[1] == 1:
        truth = (labels > 0).to(logits.dtype)
        each = F.binary_cross_entropy_with_logits(logits[:, 0], truth, reduction="none")
    else:
        each = F.cross_entropy(logits, labels.long(), reduction="none")
    return _weighted_mean(each, weight)


def _precise(logits: Tensor) -> Tensor:
    """Return logits in at least float32: half precision is too coarse for sums over many pixels."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def bce_dice(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy plus Dice in equal parts: S-Net's (*given*) and CeLNet's loss (*inferred*)."""
    return cross_entropy(logits, labels, weight) + soft_dice_loss(logits, labels, weight)


def half_bce_image_dice(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Half the cross-entropy plus Dice image by image: of each output of UNet# (*given*)."""
    return cross_entropy(logits, labels, weight) / 2 + image_dice_loss(logits, labels, weight)


def focal_cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy, class by class, with less weight for easy negatives (*inferred*).

    A background pixel with foreground probability p has the weight ``p ** 2``, as in the focal loss
    (Lin et al., 2017); foreground has the weight 1.
    """
    z, truth = _one_against_rest(_precise(logits), labels)
    if logits.shape[1] > 1:
        z, truth = z[:, 1:], truth[:, 1:]
    each = F.binary_cross_entropy_with_logits(z, truth, reduction="none")
    each = each * torch.where(truth > 0, 1.0, z.sigmoid() ** 2)
    return _weighted_mean(each.mean(1), weight)


def ms_ssim_loss(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """One minus the multi-scale structural similarity of foreground probabilities and labels.

    Wang et al., 2003. Five scales where the patch is large enough for the window of 11 pixels,
    fewer with renormalised weights where it is not. Ignored pixels count as background that is
    predicted correctly.
    """
    probabilities, truth = _foreground(_precise(logits), labels)
    if weight is not None:
        mask = weight[:, None].clamp(0, 1)
        probabilities, truth = mask * probabilities, mask * truth
    smallest = min(logits.shape[2:])
    window = min(_MS_SSIM_WINDOW, smallest - 1 + smallest % 2)
    scales = sum(smallest // 2**k >= window for k in range(len(_MS_SSIM_WEIGHTS)))
    pool = F.avg_pool2d if logits.ndim == 4 else F.avg_pool3d
    similarity = probabilities.new_ones(())
    shares = [share / sum(_MS_SSIM_WEIGHTS[:scales]) for share in _MS_SSIM_WEIGHTS[:scales]]
    for k, share in enumerate(shares):
        if k:
            probabilities, truth = pool(probabilities, 2), pool(truth, 2)
        ssim, contrast = _ssim_and_contrast(probabilities, truth, window)
        factor = (ssim if k == scales - 1 else contrast).flatten(1).mean(1)
        similarity = similarity * _positive(factor) ** share
    return 1 - similarity.mean()


def _positive(factor: Tensor) -> Tensor:
    """Return a similarity that a power is defined for, ever smaller below 0.01 (*ours*).

    Contrast may be negative, where prediction and labels are opposites. Cut off, it would have no
    gradient just there.
    """
    low = factor.clamp(max=_MS_SSIM_LEAST)
    return torch.where(
        factor > _MS_SSIM_LEAST, factor, _MS_SSIM_LEAST**2 / (2 * _MS_SSIM_LEAST - low)
    )


def _ssim_and_contrast(x: Tensor, y: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Return structural similarity and its contrast term wherever a whole window fits.

    The same as MONAI's ``compute_ssim_and_cs``, which convolves with the window along all axes at
    once and took a third of MSAC-U2Net's training step.
    """
    moments = torch.stack([x, y, x * x, y * y, x * y]).flatten(0, 1)
    for axis in range(2, moments.ndim):
        last = moments.movedim(axis, -1)
        moments = (last @ _gaussian_band(last.shape[-1], window, x)).movedim(-1, axis)
    mx, my, xx, yy, xy = moments.unflatten(0, (5, -1)).unbind()
    c1, c2 = 0.01**2, 0.03**2
    contrast = (2 * (xy - mx * my) + c2) / (xx - mx**2 + yy - my**2 + c2)
    return (2 * mx * my + c1) / (mx**2 + my**2 + c1) * contrast, contrast


def _gaussian_band(length: int, window: int, like: Tensor) -> Tensor:
    """Return the matrix ``(length, length - window + 1)`` of the Gaussian means of a row."""
    distance = torch.arange(window, device=like.device, dtype=like.dtype) - (window - 1) / 2
    gaussian = torch.exp(-(distance**2) / (2 * _MS_SSIM_SIGMA**2))
    places = torch.arange(length, device=like.device)
    places = places[:, None] - places[: length - window + 1]
    inside = (places >= 0) & (places < window)
    return (gaussian / gaussian.sum())[places.clamp(0, window - 1)] * inside


def bce_dice_ms_ssim(
    outputs: Sequence[Tensor], labels: Tensor, weight: Tensor | None = None
) -> Tensor:
    """BCE + Dice + MS-SSIM, MSAC-U2Net's loss (*given*; equal weights and outputs *inferred*).

    Parameters
    ----------
    outputs : sequence of Tensor
        Logits of the fused head and of the side heads, each ``(B, K, H, W)``.
    labels, weight : Tensor
        As for all losses here.
    """
    count = len(outputs)
    terms = [
        term(z, labels, weight) for z in outputs for term in (focal_cross_entropy, soft_dice_loss)
    ]
    stacked = [t if t is None else torch.cat([t] * count) for t in (labels, weight)]
    similarity = ms_ssim_loss(torch.cat(list(outputs)), stacked[0], stacked[1])  # type: ignore[arg-type]
    return torch.stack(terms).sum() / count + similarity


def deep_supervision(
    outputs: Supervised,
    labels: Tensor,
    weight: Tensor | None = None,
    term: Callable[[Tensor, Tensor, Tensor | None], Tensor] = bce_dice,
) -> Tensor:
    """BCE + Dice over eight outputs, plus BCE of presence: UNet#'s loss.

    The mean over the outputs and over the two guided modules (*inferred*: equal weights). A class
    is present where an annotated pixel shows it, and absent only where every pixel is annotated;
    where neither is known, the modules learn nothing.

    Parameters
    ----------
    outputs : Supervised
        As `unet_sharp.UNetSharp.supervised` returns them.
    labels, weight : Tensor
        As for all losses here.
    term : callable
        Loss of each output; the authors' is `half_bce_image_dice`.
    """
    maps = torch.stack([term(logits, labels, weight) for logits in outputs.logits]).mean()
    _, truth = _foreground(outputs.logits[0], labels)
    annotated = torch.ones_like(truth[:, :1]) if weight is None else (weight[:, None] > 0).float()
    present = (truth * annotated).flatten(2).amax(-1)
    known = torch.maximum(annotated.flatten(2).amin(-1), present)
    both = torch.stack([1 - present, present], dim=-1)  # (B, F, 2): absence, presence
    guides = [
        _weighted_mean(
            F.binary_cross_entropy_with_logits(g.float(), both, reduction="none").mean(-1), known
        )
        for g in outputs.presence
    ]
    return maps + torch.stack(guides).mean()


def structure_loss(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Weighted IoU plus weighted BCE (*given*), one class against the rest and averaged (*ours*).

    A pixel has the weight ``1 + 5 |mean of the mask over 31 x 31 - mask|``: more near borders.
    Ignored pixels are left out of that mean; beyond the image's edge is background (*given*).
    """
    z, truth = _one_against_rest(_precise(logits), labels)
    if weight is None:
        emphasis = 1 + 5 * (_mean_around(truth) - truth).abs()
    else:
        counted = weight[:, None].to(z.dtype).clamp(0, 1)
        share = _mean_around(counted) / _mean_around(torch.ones_like(counted))
        around = _mean_around(counted * truth) / share.clamp(min=1e-6)
        emphasis = weight[:, None] * (1 + 5 * (around - truth).abs())
    axes = (2, 3)
    each = F.binary_cross_entropy_with_logits(z, truth, reduction="none")
    bce = (emphasis * each).sum(axes) / emphasis.sum(axes).clamp(min=1e-6)
    p = z.sigmoid()
    both = (p * truth * emphasis).sum(axes)
    either = ((p + truth) * emphasis).sum(axes) - both
    return (bce + 1 - (both + 1) / (either + 1)).mean()


def _mean_around(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 31, stride=1, padding=15)


def structure_lossnet(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Structure loss plus a tenth of LossNet: M2SNet's loss (*given*).

    LossNet needs VGG-16's ImageNet weights, see `lossnet.installed`. Without them the loss is the
    structure loss alone, after a warning.
    """
    loss = structure_loss(logits, labels, weight)
    lossnet = installed(str(logits.device))
    if lossnet is None:
        warnings.warn(
            "M2SNet trains without its LossNet term, because VGG-16's weights are missing. To "
            f"use it, choose the file {PUBLISHED} in the Fine-tune tab or with --vgg16.",
            Notice,
            stacklevel=2,
        )
        return loss
    z, truth = _one_against_rest(_precise(logits), labels)
    p = z.sigmoid()
    if weight is not None:
        mask = weight[:, None].clamp(0, 1)
        p, truth = mask * p, mask * truth
    classes = range(z.shape[1])
    return loss + 0.1 * torch.stack([lossnet(p[:, k], truth[:, k]) for k in classes]).mean()


def _foreground(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities and truth of the foreground classes, ``(B, F, H, W)``."""
    if logits.shape[1] == 1:
        return logits.sigmoid(), (labels > 0).unsqueeze(1).to(logits.dtype)
    return logits.softmax(1)[:, 1:], _one_hot(logits, labels)[:, 1:]


def _one_against_rest(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the binary logits and truth of each class, ``(B, K, H, W)``.

    The sigmoid of these logits is the softmax of the given ones, so that a loss on single classes
    trains what inference computes.
    """
    if logits.shape[1] == 1:
        return logits, (labels > 0).unsqueeze(1).to(logits.dtype)
    classes = logits.shape[1]
    own = torch.eye(classes, dtype=torch.bool, device=logits.device)
    others = logits[:, None].masked_fill(own.reshape(1, classes, classes, 1, 1), -torch.inf)
    return logits - others.logsumexp(2), _one_hot(logits, labels)


def _one_hot(logits: Tensor, labels: Tensor) -> Tensor:
    return F.one_hot(labels.long(), logits.shape[1]).movedim(-1, 1).to(logits.dtype)


def _weighted_mean(each: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return each.mean()
    return (each * weight).sum() / weight.sum().clamp(min=1e-6)
