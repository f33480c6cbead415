"""Build a network without memory for its weights, to learn their shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

# Numbers of a tensor that is made as usual: networks compute with short ones while they are built.
_SHORT = 65_536
_MAKERS = (torch.empty, torch.zeros, torch.ones)


class Blank(TorchFunctionMode):
    """A context in which large new tensors have a shape and no memory, and are not filled.

    Within torch's own ``torch.device("meta")``, the usual ways to fill weights load torch's
    compiler and SymPy, which take longer and more memory than a small network.

    Examples
    --------
    >>> with Blank():
    ...     torch.nn.Linear(10**6, 10**6).weight.shape
    torch.Size([1000000, 1000000])
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _MAKERS and kwargs.get("device") is None:
            blank = func(*args, **{**kwargs, "device": "meta"})
            return blank if blank.numel() > _SHORT else func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        in_place = name.endswith("_") and not name.endswith("__")
        if in_place and args and isinstance(args[0], Tensor) and args[0].is_meta:
            return args[0]
        return func(*args, **kwargs)
