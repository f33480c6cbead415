"""Models that are code, turned into graphs: only if their user allows to run them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints import printable
from ..errors import CheckpointError
from .description import Description, inside
from .graph_files import onnx_run, traced_onnx

if TYPE_CHECKING:
    from torch import Tensor, nn


class UntrustedCodeError(CheckpointError):
    """A package holds code that would have to be run to use its model.

    Parameters
    ----------
    text : str
        What the code is.

    Attributes
    ----------
    panel_text : str
        The message for a window, which asks by itself.
    """

    def __init__(self, text: str) -> None:
        self.panel_text = f"{text} Run it only if you trust its authors."
        super().__init__(f"{self.panel_text} Then import it again with --trust-code.")


def module_to_onnx(source: Path, folder: Path, model: Description, trust_code: bool) -> bytes:
    """Return the graph of a model that is TorchScript, or a state dict with its source.

    Parameters
    ----------
    source : Path
        The package, for messages.
    folder : Path
        Where it was unpacked.
    model : Description
        With the entry of the weights, `code`.
    trust_code : bool
        Whether its code may be run.

    Raises
    ------
    UntrustedCodeError
        If it may not; nothing was run.
    CheckpointError
        If it cannot be run, or makes no graph.
    """
    architecture = getattr(model.code, "architecture", None)
    file = inside(source, folder, model.code.source)
    if not trust_code:
        what = (
            f"TorchScript ({file.name}), whose operators can read and write files"
            if architecture is None
            else f"a network as Python source ({_where(architecture)})"
        )
        raise UntrustedCodeError(f"The model in {source} is a program: {what}.")
    try:
        network = _loaded(source, folder, file, architecture)
        return _exported(network, model)
    except CheckpointError:
        raise
    except Exception as error:  # whatever the code of others raises
        raise CheckpointError(
            f"{source}: its model cannot be made a graph: {printable(str(error))[:300]}."
        ) from error


def _where(architecture: Any) -> str:
    return str(getattr(architecture, "source", None) or architecture.import_from)


def _loaded(source: Path, folder: Path, file: Path, architecture: Any) -> nn.Module:
    import torch

    if architecture is None:
        module: nn.Module = torch.jit.load(str(file), map_location="cpu")
        return module.eval()
    if not hasattr(architecture, "source"):
        package = importlib.import_module(str(architecture.import_from))
    else:
        path = inside(source, folder, architecture.source)
        spec = importlib.util.spec_from_file_location(f"_seglite_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise CheckpointError(f"{source}: {path.name} is no Python file.")
        package = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = package  # dataclasses look their module up
        try:
            spec.loader.exec_module(package)
        finally:
            del sys.modules[spec.name]
    network: nn.Module = getattr(package, str(architecture.callable))(**architecture.kwargs)
    network.load_state_dict(read_state(source, file))
    return network.eval()


def _exported(network: nn.Module, model: Description) -> bytes:
    import torch

    varied = {} if model.fixed else {model.axes.index(axis): axis for axis in "yx"}
    with torch.no_grad():
        graph = traced_onnx(network, _image(model), varied)
        for more in (0,) if model.fixed else (0, 1, 3):
            _compare(network, graph, _image(model, more))
    return graph


def _image(model: Description, more: int = 0) -> Tensor:
    """Return noise of a size that the model takes; wider by some of its steps."""
    import torch

    side = max(2 * model.divisor, model.smallest, 64)
    height = side + -side % model.divisor
    sides = model.fixed or (height, height + more * model.divisor)
    sizes = {"b": 1, "c": model.channels, "y": sides[0], "x": sides[1]}
    shape = [sizes[axis] for axis in model.axes]
    return torch.randn(shape, generator=torch.Generator().manual_seed(more))


def _compare(network: nn.Module, graph: bytes, image: Tensor) -> None:
    """Check that a graph computes what the model computes: tracing keeps one branch of code."""
    from ..runtime import graphs

    expected = network(image)
    expected = expected[0] if isinstance(expected, (tuple, list)) else expected
    gap = graphs.difference(onnx_run(graph)(image), expected.numpy())
    if not gap < graphs.TOLERANCE:
        raise ValueError(f"the graph differs from it by {gap:.1e} of its range")


def read_state(source: Path, file: Path) -> dict[str, Tensor]:
    """Read a state dict without unpickling anything but tensors."""
    import torch

    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        assert isinstance(state, dict)
        assert all(isinstance(value, torch.Tensor) for value in state.values())
    except Exception as error:  # whatever torch raises for damaged files
        raise CheckpointError(
            f"{source}: {file.name} is damaged, or holds other things than tensors."
        ) from error
    return state
