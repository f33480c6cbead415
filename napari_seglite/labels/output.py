"""The two kinds of labels."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

# One label per class, or one per object.
Output = Literal["semantic", "instances"]
OUTPUTS: tuple[Output, ...] = get_args(Output)


def label_dtype(output: Output, objects: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest dtype of labels that leaves room for objects painted later.

    Parameters
    ----------
    output : str
        One of `OUTPUTS`.
    objects : int
        Number of objects.
    """
    if output == "semantic":
        return np.uint8
    return np.uint16 if objects < 2**15 else np.uint32
