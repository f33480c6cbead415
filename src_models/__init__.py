"""Lightweight segmentation networks from the literature, behind one constructor.

Importing this package does not import torch; `create` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .cards import CARDS, NetworkCard

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NetworkCard", "card", "create", "names"]


def names() -> list[str]:
    """Return the names of all networks."""
    return sorted(CARDS)


def card(name: str) -> NetworkCard:
    """Return the facts about a network.

    Raises
    ------
    KeyError
        If no network has this name.
    """
    try:
        return CARDS[name]
    except KeyError:
        raise KeyError(f"No network {name!r}; there are: {', '.join(names())}.") from None


def create(name: str, in_channels: int = 1, classes: int = 1, **options: Any) -> nn.Module:
    """Build a network with fresh weights.

    Parameters
    ----------
    name : str
        One of `names`.
    in_channels : int
        Channels of the input image.
    classes : int
        Output channels. One gives a foreground logit, several give one logit a class.
    **options
        Passed to the network.

    Returns
    -------
    torch.nn.Module
        Maps ``(B, in_channels, H, W)`` to logits ``(B, classes, H, W)`` for any H and W.

    Raises
    ------
    KeyError
        If no network has this name.
    ValueError
        If `in_channels` or `classes` is below one.
    """
    card(name)
    if in_channels < 1 or classes < 1:
        raise ValueError(
            f"A network needs at least one input channel and one class, "
            f"not in_channels={in_channels}, classes={classes}."
        )
    if name == "s-net":
        from .s_net import SNet

        return SNet(in_channels, classes, **options)
    raise AssertionError(f"network {name!r} has a card but no constructor")
