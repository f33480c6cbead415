"""Whether the graph of another program learns, as its options say; without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of checkpoints that were imported before graphs could learn.
UNKNOWN = "it was imported by an earlier version of SegLite; import its file again to find out"


def obstacle(options: Mapping[str, Any]) -> str:
    """Return why a graph does not learn, a part of a sentence; an empty string if it does."""
    if options.get("weights"):
        return ""
    return str(options.get("obstacle") or UNKNOWN)


def takes_other_channels(options: Mapping[str, Any]) -> bool:
    """Whether the first layer of a graph can be one for another number of channels."""
    return bool(options.get("weights")) and options.get("first") is not None


def for_other_images(
    options: Mapping[str, Any], channels: tuple[int, int], outputs: tuple[int, int]
) -> dict[str, Any]:
    """Return the options of a graph that reads other channels or has other outputs.

    Parameters
    ----------
    options : mapping
        Of a graph that learns.
    channels, outputs : tuple of int
        Numbers before and after.

    Raises
    ------
    ValueError
        If its first or last layer is no convolution, or what follows it counts its channels.
    """
    weights = [list(shape) for shape in options["weights"]]
    if channels[0] != channels[1]:
        first = options.get("first")
        if first is None:
            raise ValueError(
                f"it reads images of {_channels(channels[0])}, and its first layer is none that "
                "could be replaced"
            )
        weights[first][1] = channels[1]
    if outputs[0] != outputs[1]:
        last = options.get("last")
        if not last:
            raise ValueError(
                f"it has {outputs[0]} output channel{'s' * (outputs[0] > 1)}, and its last layer "
                "is none that could be replaced; keep its classes, and train it without objects"
            )
        for k in last:
            weights[k][0] = outputs[1]
    return {**options, "weights": weights}


def _channels(count: int) -> str:
    return "one channel" if count == 1 else f"{count} channels"
