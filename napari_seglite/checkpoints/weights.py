"""The weights of a checkpoint: how large they can be, and their way into a network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CheckpointError
from .card import CheckpointInfo
from .folder import WEIGHTS
from .rounding import expanded

if TYPE_CHECKING:
    from torch import nn

# Bytes for the header of a safetensors file, and for each tensor's entry in it.
HEADER, ENTRY = 1_000_000, 200


def largest(info: CheckpointInfo) -> int:
    """Return the size in bytes that the weights of a checkpoint's network can have at most.

    Raises
    ------
    CheckpointError
        If the network cannot be built.
    """
    tensors = _blank(info).state_dict().values()
    sizes = (t.numel() * max(4, t.element_size()) + ENTRY for t in tensors)
    return HEADER + int(sum(sizes))


def load_network(info: CheckpointInfo, folder: Path) -> nn.Module:
    """Build the network of a checkpoint with the weights in its folder.

    Raises
    ------
    CheckpointError
        If the weights are missing, damaged, or do not fit the network.
    """
    file = folder / WEIGHTS
    try:
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing")
        if file.stat().st_size > largest(info):
            raise _unfit(info)
        blob = file.read_bytes()
    except (OSError, MemoryError) as error:
        raise CheckpointError(
            f"The weights of checkpoint {info.id} cannot be read: "
            f"{error or 'they do not fit into memory'}. Copy it again."
        ) from error
    return fill_network(info, blob, file)


def fill_network(info: CheckpointInfo, blob: bytes, source: Path) -> nn.Module:
    """Build the network of a checkpoint with weights.

    Parameters
    ----------
    info : CheckpointInfo
        The card.
    blob : bytes
        Content of a safetensors file.
    source : Path
        Where it is from, for messages.

    Returns
    -------
    Module
        In float32 on the CPU, in training mode.

    Raises
    ------
    CheckpointError
        If the weights are not those of the card, damaged, or do not fit the network.
    """
    from safetensors.torch import load
    from torch.random import fork_rng

    if hashlib.sha256(blob).hexdigest() != info.weights_sha256:
        raise CheckpointError(
            f"The weights of checkpoint {info.id} ({source}) are not the ones its card "
            "describes: the file is damaged or was replaced. Copy it again."
        )
    try:
        weights = expanded(load(blob))
    except Exception as error:  # safetensors has errors of its own, torch others
        raise CheckpointError(
            f"The weights of checkpoint {info.id} ({source}) cannot be read: {error}. Copy it "
            "again."
        ) from error
    # Before memory is taken for a network that the card describes.
    shapes = {name: tensor.shape for name, tensor in _blank(info).state_dict().items()}
    if shapes != {name: tensor.shape for name, tensor in weights.items()}:
        raise _unfit(info)
    with fork_rng(devices=[]):  # fresh weights must not advance the caller's generator
        network = _build(info)
    try:
        network.load_state_dict(weights)
    except Exception as error:
        raise _unfit(info) from error
    return network


def _unfit(info: CheckpointInfo) -> CheckpointError:
    return CheckpointError(
        f"The weights of checkpoint {info.id} do not fit the network {info.network} with "
        f"{info.in_channels} channels and {info.classes} classes. Copy it again."
    )


def _blank(info: CheckpointInfo) -> nn.Module:
    """Return a checkpoint's network without memory for its weights, where it can be built so."""
    from torch.random import fork_rng

    from src_models.blank import Blank

    with fork_rng(devices=[]):
        try:
            with Blank():
                return info.build()
        except Exception:  # it computes with its weights while it is built
            return _build(info)


def _build(info: CheckpointInfo) -> nn.Module:
    try:
        return info.build()
    except Exception as error:  # also of networks from other packages
        raise CheckpointError(
            f"The network of checkpoint {info.id} cannot be built: {error}. Its card has options "
            f"that {info.network} does not take, or the network needs too much memory."
        ) from error
