"""What the networks are trained with. All losses take logits and integer labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def soft_dice_loss(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """One minus the Dice coefficient of probabilities, averaged over classes.

    The sums run over the whole batch, so that a patch without foreground does not
    dominate the gradient (Milletari et al., 2016, with the batch variant of nnU-Net).

    Parameters
    ----------
    logits : Tensor
        ``(B, K, H, W)``. One class: foreground against background. Several: class 0 is
        background and left out.
    labels : Tensor
        ``(B, H, W)`` integer; with one class anything above 0 is foreground.
    weight : Tensor, optional
        ``(B, H, W)``, 0 where a pixel shall be ignored.

    Returns
    -------
    Tensor
        Scalar between 0 and 1.
    """
    if logits.shape[1] == 1:
        probabilities = torch.sigmoid(logits)
        truth = (labels > 0).unsqueeze(1).to(logits.dtype)
    else:
        probabilities = torch.softmax(logits, dim=1)[:, 1:]
        truth = F.one_hot(labels.long(), logits.shape[1]).movedim(-1, 1)[:, 1:].to(logits.dtype)
    if weight is not None:
        probabilities = probabilities * weight[:, None]
        truth = truth * weight[:, None]
    axes = (0, *range(2, logits.ndim))
    both = (probabilities * truth).sum(axes)
    total = probabilities.sum(axes) + truth.sum(axes)
    loss: Tensor = (1 - (2 * both + 1) / (total + 1)).mean()
    return loss


def cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy for one class, categorical for several; arguments as above."""
    if logits.shape[1] == 1:
        truth = (labels > 0).to(logits.dtype)
        each = F.binary_cross_entropy_with_logits(logits[:, 0], truth, reduction="none")
    else:
        each = F.cross_entropy(logits, labels.long(), reduction="none")
    if weight is None:
        return each.mean()
    return (each * weight).sum() / weight.sum().clamp(min=1e-6)


def bce_dice(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy plus Dice in equal parts, S-Net's loss (*given*); arguments as above."""
    return cross_entropy(logits, labels, weight) + soft_dice_loss(logits, labels, weight)
