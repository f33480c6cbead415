"""Transfer weights to a network with other classes or channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def transfer_weights(
    network: nn.Module, weights: dict[str, Tensor], kept: int = 0, outputs: int = 0
) -> list[str]:
    """Fill a network with the weights of one that differs in classes or channels, in place.

    Weights of the same shape are copied. A convolution with another number of input channels gets
    the mean over the old ones, scaled so that its sums stay as large. Layers with one output per
    class begin anew; if there was a single class, each new class begins with its weights, plus
    its own random ones.

    Parameters
    ----------
    network : Module
        Built for the new classes and channels.
    weights : dict
        State dict of the other network.
    kept : int
        Outputs of the other network that stay as they are, if those of an object head are added
        behind them; otherwise 0.
    outputs : int
        Outputs of the network then.

    Returns
    -------
    list of str
        Names of the weights that begin anew.
    """
    own = network.state_dict()
    fresh = []
    for name, value in own.items():
        old = weights.get(name)
        if old is not None and old.shape == value.shape:
            own[name] = old
        elif _other_channels(old, value):
            assert old is not None
            mean = old.mean(1, keepdim=True) * (old.shape[1] / value.shape[1])
            own[name] = mean.expand_as(value).clone()
        elif kept and (grown := _with_head(old, value, kept, outputs)) is not None:
            own[name] = grown
        elif _one_class(old, value):
            assert old is not None
            own[name][1:] += old
            fresh.append(name)
        else:
            fresh.append(name)
    network.load_state_dict(own)
    return fresh


def _with_head(old: Tensor | None, new: Tensor, kept: int, outputs: int) -> Tensor | None:
    """Return a layer whose first outputs are those of an old one; None if they do not fit."""
    if old is None or old.ndim != new.ndim or old.shape[0] >= new.shape[0]:
        return None
    grown = new.clone()
    if old.shape[1:] == new.shape[1:]:
        grown[: old.shape[0]] = old
        return grown
    # It reads the outputs of several layers, one behind the other.
    several, rest = divmod(old.shape[1], kept)
    if rest or old.shape[0] != kept or new.shape[1] != several * outputs:
        return None
    grown[:kept] = 0
    for k in range(several):
        begin = k * outputs
        grown[:kept, begin : begin + kept] = old[:, k * kept : (k + 1) * kept]
    return grown


def _one_class(old: Tensor | None, new: Tensor) -> bool:
    """Whether a layer of one class becomes one of several classes."""
    return old is not None and old.shape[0] == 1 and old.shape[1:] == new.shape[1:]


def _other_channels(old: Tensor | None, new: Tensor) -> bool:
    """Whether two kernels differ only in the number of input channels."""
    if old is None or old.ndim != new.ndim or new.ndim < 4:
        return False
    return old.shape[0] == new.shape[0] and old.shape[2:] == new.shape[2:]
