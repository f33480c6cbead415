"""Count an inference's operations and the bytes it moves, operator by operator.

Each operator is taken for a kernel of its own that reads its inputs from memory and writes its
output there. The least time of such a kernel is that of its bytes or of its operations, whichever
is longer (the roofline; Williams et al., 2009). What fuses operators can be faster than their sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

# These move nothing, though their schemas do not call them views.
_FREE = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view"}
# These do not read what they overwrite.
_OVERWRITING = {"copy_", "fill_", "zero_"}


class Operator(NamedTuple):
    """What an operator does: floating-point operations, and bytes read and written."""

    name: str
    operations: float
    bytes: float


class Traffic(TorchDispatchMode):
    """Counts the operators of what runs inside.

    Attributes
    ----------
    operators : list of Operator
        In the order in which they ran. Operations are those of convolutions and matrix products,
        of which a multiplication and an addition count as two.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators: list[Operator] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator and count it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func._schema.name.partition("::")[2]
        if name in _FREE or _is_view(func):
            return out
        count = flop_registry.get(func._overloadpacket)
        operations = count(*args, **kwargs, out_val=out) if count else 0
        read = args[1:] if name in _OVERWRITING else args
        moved = sum(map(touched, _tensors((read, kwargs)))) + sum(map(touched, _tensors(out)))
        self.operators.append(Operator(name, float(operations), float(moved)))
        return out


def _is_view(func: Any) -> bool:
    infos = [each.alias_info for each in func._schema.returns]
    return bool(infos) and all(info is not None and not info.is_write for info in infos)


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def touched(tensor: Tensor) -> int:
    """Return the bytes of a tensor's own elements; an expanded axis counts once."""
    lengths = (n for n, step in zip(tensor.shape, tensor.stride(), strict=True) if step or not n)
    return math.prod(lengths) * tensor.element_size()


@contextmanager
def _scans_counted(traffic: Traffic) -> Iterator[None]:
    """Count the scans of S-Net, too, whose kernels torch does not know.

    A scan multiplies and adds about nine times per token, row and state, as its authors count.
    """
    module: Any = import_module("src_models.s_net")
    scan: Callable[..., Tensor] = module.selective_scan
    in_place = module.can_scan_image

    def counted(*args: Any, **kwargs: Any) -> Tensor:
        begun = len(traffic.operators)
        y = scan(*args, **kwargs)
        del traffic.operators[begun:]  # of the back end, where it is plain torch
        moved = sum(map(touched, _tensors((args, kwargs)))) + touched(y)
        operations = 9.0 * y.numel() * args[2].shape[1]
        traffic.operators.append(Operator("selective_scan", operations, float(moved)))
        return y

    module.selective_scan = counted
    module.can_scan_image = lambda x, channels: False  # of a CPU alone
    try:
        yield
    finally:
        module.selective_scan, module.can_scan_image = scan, in_place


def count(network: Callable[[Tensor], object], frames: Tensor) -> list[Operator]:
    """Return the operators of an inference."""
    traffic = Traffic()
    with torch.no_grad(), traffic, _scans_counted(traffic):
        network(frames)
    return traffic.operators


def roofline(operators: Iterable[Operator], operations: float, bandwidth: float) -> float:
    """Return the least time of operators in seconds, one after the other.

    Parameters
    ----------
    operators : iterable of Operator
        See `count`.
    operations : float
        That the device makes in a second, see `timing.product_peak`.
    bandwidth : float
        Bytes that it moves in a second, see `timing.copy_bandwidth`.
    """
    return sum(max(each.operations / operations, each.bytes / bandwidth) for each in operators)
