"""Batch norms and parallel branches folded into single convolutions, for inference."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def fold(network: Network) -> Network:
    """Return a copy of a network that computes the same output with fewer operations.

    In evaluation mode a batch norm is a fixed scale and shift, which the convolution before it
    takes over; layers with a ``folded()`` method, such as `u2net_msac.MSAC`, replace themselves,
    and a network with ``reorder()``, such as `s_net.SNet`, changes the order of its layers or what
    computes them.

    Parameters
    ----------
    network : Module
        Any network in evaluation mode. A norm is folded where it follows a convolution inside an
        ``nn.Sequential``.

    Returns
    -------
    Module
        Of the same class, for inference only: it cannot be trained further, and its parameters
        are not those of a checkpoint.

    Raises
    ------
    ValueError
        If the network is in training mode, where batch norms use the batch's own statistics.
    """
    if any(module.training for module in network.modules()):
        raise ValueError(
            "Only a network in evaluation mode can be folded, because in training its batch norms "
            "depend on the batch. Call network.eval() first."
        )
    folded = copy.deepcopy(network)
    _replace_branches(folded)
    for module in folded.modules():
        if isinstance(module, nn.Sequential):
            _fold_pairs(module)
    reorder: Any = getattr(folded, "reorder", None)
    if callable(reorder):
        reorder()
    return folded.requires_grad_(False)


def _replace_branches(module: nn.Module) -> None:
    for name, child in module.named_children():
        replacement: Any = getattr(child, "folded", None)
        if callable(replacement):
            setattr(module, name, replacement())
        else:
            _replace_branches(child)


def _fold_pairs(layers: nn.Sequential) -> None:
    for (_, first), (name, second) in pairwise(list(layers.named_children())):
        if not isinstance(second, nn.modules.batchnorm._BatchNorm):
            continue
        if isinstance(first, (nn.Conv2d, nn.Conv3d)):
            with torch.no_grad():
                fused = fuse_conv_bn_eval(first, second)
            first.weight, first.bias = fused.weight, fused.bias
            setattr(layers, name, nn.Identity())
