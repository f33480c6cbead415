"""Lightweight segmentation networks from the literature, behind one constructor.

Importing this package does not import torch; `create` does.

Other distributions add networks through the entry-point group ``napari_seglite.networks``: each
entry names a `NetworkCard`, in a module that does not import torch either.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from . import object_heads
from .cards import CARDS, GRAPH, NetworkCard, NetworkOption
from .notices import Notice
from .readout_kinds import PIXEL_FEATURES

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "ENTRY_POINTS",
    "NetworkCard",
    "NetworkOption",
    "Notice",
    "card",
    "create",
    "is_known",
    "names",
    "register",
    "training_loss",
]

ENTRY_POINTS = "napari_seglite.networks"


def names() -> list[str]:
    """Return the names of all networks, those of other distributions included."""
    return sorted(name for name, card in _cards().items() if card.trainable)


def is_known(name: str) -> bool:
    """Whether a checkpoint can be of a network: one of `names`, or one that cannot be trained."""
    return name in _cards()


def card(name: str) -> NetworkCard:
    """Return the facts about a network.

    Raises
    ------
    KeyError
        If no network has this name.
    """
    try:
        return _cards()[name]
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
        Output channels: one foreground logit, or one logit per class, background included.
    **options
        Further arguments of the network's constructor. Any network takes ``pixel_features=2``,
        see `pixel_features`.

    Returns
    -------
    torch.nn.Module
        Maps ``(B, in_channels, H, W)`` to logits ``(B, classes, H, W)`` for any H and W. A network
        that reads several slices also takes ``(B, slices, in_channels, H, W)``.

    Raises
    ------
    KeyError
        If no network has this name.
    ValueError
        If `in_channels` or `classes` is below one.
    """
    factory = card(name).factory
    if in_channels < 1 or classes < 1:
        raise ValueError(
            f"A network needs at least one input channel and one class, "
            f"not in_channels={in_channels}, classes={classes}."
        )
    readout = options.pop(PIXEL_FEATURES, False)
    network: nn.Module = _resolve(factory)(in_channels, classes, **options)
    if readout:
        from .pixel_features import attach

        attach(network, in_channels, classes, readout)
    return network


def training_loss(
    network: nn.Module,
    name: str,
    frames: Tensor,
    labels: Tensor,
    weight: Tensor | None = None,
    head: str = "",
    wanted: Tensor | None = None,
) -> Tensor:
    """Run a network in training and return the loss of its paper, plus that of its object head.

    Parameters
    ----------
    network : Module
        As `create` built it.
    name : str
        One of `names`, the network's.
    frames : Tensor
        The network's input, ``(B, C, H, W)``.
    labels : Tensor
        ``(B, H, W)`` integer.
    weight : Tensor, optional
        ``(B, H, W)``, 0 where a pixel is ignored.
    head : str
        Object head of the network, one of `object_heads.NAMES`, or an empty string. Of a network
        with several outputs each learns it.
    wanted : Tensor, optional
        ``(B, channels, H, W)``, what the head should predict; needed if there is one.

    Returns
    -------
    Tensor
        Scalar, in at least float32 even under autocast.
    """
    import torch

    from .pixel_features import added

    supervised = getattr(network, "supervised", None)
    outputs = added(network, supervised(frames), frames) if supervised else network(frames)

    paper_loss = _resolve(card(name).loss_function)
    # Losses sum over many pixels, and MS-SSIM subtracts squares of nearly equal size: half
    # precision is too coarse for both.
    with torch.autocast(frames.device.type, enabled=False):
        if wanted is None:
            loss: Tensor = paper_loss(outputs, labels, weight)
            return loss
        all_maps = getattr(outputs, "logits", outputs)
        first = all_maps if isinstance(all_maps, torch.Tensor) else all_maps[0]
        own, maps = object_heads.split(outputs, first.shape[1] - wanted.shape[1])
        own_loss: Tensor = paper_loss(own, labels, weight)
        learnt = [object_heads.loss(head, logits, wanted, labels, weight) for logits in maps]
        return own_loss + torch.stack(learnt).mean()


def register(card: NetworkCard) -> None:
    """Add a network for this process; a distribution uses the entry point instead.

    Raises
    ------
    ValueError
        If a network of this name exists already.
    """
    if card.name in _cards():
        raise ValueError(f"There is a network {card.name} already.")
    _cards()[card.name] = card


@cache
def _cards() -> dict[str, NetworkCard]:
    cards = {**CARDS, GRAPH.name: GRAPH}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            loaded = entry.load()
        except Exception as error:
            warnings.warn(
                f"The network {entry.name} cannot be loaded: {error!r}", Notice, stacklevel=2
            )
            continue
        if not isinstance(loaded, NetworkCard) or loaded.name in cards:
            warnings.warn(
                f"The entry point {entry.name} is not a NetworkCard, or its name is taken.",
                Notice,
                stacklevel=2,
            )
            continue
        cards[loaded.name] = loaded
    return cards


def _resolve(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)
