"""Whether a checkpoint can tell that an image holds no object at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import src_models

from ..checkpoints import CheckpointInfo
from ..errors import SegliteError

if TYPE_CHECKING:
    from torch import nn


def empty_problem(info: CheckpointInfo) -> str:
    """Return why a checkpoint cannot tell that an image is empty; an empty text if it can.

    Parameters
    ----------
    info : CheckpointInfo
        Its card.
    """
    own = src_models.card(info.network)
    if own.guided and info.origin and info.parent is None:
        return (
            f"The authors' weights of {info.id} hold no guided modules, which tell that an image "
            "is empty. Fine-tune it first."
        )
    if own.guided:
        return ""
    able = [card.title for card in map(src_models.card, src_models.names()) if card.guided]
    return (
        f"{own.title}, the network of {info.id}, does not learn whether an image holds any "
        f"object. Choose a checkpoint of {' or '.join(able)}."
    )


def check_guided(network: nn.Module, info: CheckpointInfo) -> None:
    """Raise SegliteError if a network's guided modules have no weights, as in the authors' file."""
    if not getattr(network, "guided", True):
        raise SegliteError(
            f"Checkpoint {info.id} cannot tell that an image is empty: its weights come from a "
            "file without guided modules. Fine-tune it first, or segment without Keep empty "
            "(--keep-empty)."
        )
