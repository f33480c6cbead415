"""Networks as files that other programs run: ONNX, TorchScript, OpenVINO, torch.export."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

import src_models

from ..checkpoints import without_paths
from ..errors import SegliteError
from .extra import needed
from .network import CHECKED, ExportedNetwork

if TYPE_CHECKING:
    from torch import Tensor, nn

# Version of ONNX's operators; programs with an ONNX Runtime of 2023 or later read it.
OPSET = 18
INPUT, OUTPUT = "image", "output"
# Entry of the metadata of an ONNX file that holds our card.
METADATA = "seglite"
# Divisors of the network that a side has at least and at most.
FEWEST, MOST = 2, 8192

Run = Callable[["Tensor"], np.ndarray]


def write_onnx(exported: ExportedNetwork, file: Path) -> None:
    """Write a network as ONNX, for images of any height and width that its divisor divides.

    The selective scan of S-Net is ONNX's own operator ``Scan``. The file's metadata hold the
    divisor and the checkpoint's card.

    Raises
    ------
    SegliteError
        If the extra is not installed.
    """
    with needed("Writing ONNX"):
        import onnx
        import onnxruntime  # noqa: F401
    from src_models.selective_scan import exporting

    from .. import __version__
    from . import onnx_scan

    with exporting():
        model = onnx.load_from_string(traced_onnx(exported.module, exported.example()))
    onnx_scan.insert(model)
    card = exported.info.as_dict() | {"curves": {}, "settings": {}}
    facts = {"divisor": str(exported.divisor), METADATA: json.dumps(without_paths(card))}
    onnx.helper.set_model_props(model, facts)
    model.producer_name, model.producer_version = "napari-seglite", __version__
    onnx.save(model, file)


def traced_onnx(
    network: nn.Module,
    example: Tensor,
    axes: Mapping[int, str] = MappingProxyType({2: "h", 3: "w"}),
) -> bytes:
    """Return the graph of a network or of TorchScript in the format of ONNX.

    Traced, since that takes a tenth of the time of `torch.export`, which takes no TorchScript.

    Parameters
    ----------
    network : Module
        With one image as input and one as output.
    example : Tensor
        Such an image.
    axes : mapping
        Names of the dimensions whose size may vary; those of other sizes are fixed.
    """
    import torch

    buffer = io.BytesIO()
    with quiet(), torch.no_grad():
        export: Any = torch.onnx.export  # its hints do not know buffers
        export(
            network,
            (example,),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: dict(axes), OUTPUT: dict(axes)} if axes else None,
        )
    return buffer.getvalue()


def write_torchscript(exported: ExportedNetwork, file: Path) -> None:
    """Write a network as TorchScript, for any height and width that its divisor divides."""
    import torch

    from src_models.selective_scan import exporting

    with exporting(), quiet(), torch.no_grad():
        traced: Any = torch.jit.trace(exported.module, (exported.example(),), check_trace=False)
        torch.jit.save(traced, str(file))


def write_torch_export(exported: ExportedNetwork, file: Path) -> None:
    """Write a network as a program of `torch.export`, for sizes that its divisor divides."""
    import torch

    from src_models.selective_scan import exporting

    with exporting(), quiet(), torch.no_grad():
        program = torch.export.export(
            exported.module, (exported.example(),), dynamic_shapes=_dynamic(exported.divisor)
        )
        # Decomposed, since a saved program cannot hold the contexts of autocast.
        torch.export.save(program.run_decompositions({}), file)


def write_openvino(exported: ExportedNetwork, file: Path) -> None:
    """Write a network as a graph of OpenVINO, ``.xml``, with its weights beside it, ``.bin``.

    Raises
    ------
    SegliteError
        If OpenVINO is not installed, or the network has a selective scan, whose loop it does not
        convert in minutes.
    """
    info = exported.info
    if src_models.card(info.network).uses_scan:
        raise SegliteError(f"{info.id}: OpenVINO cannot take the scan of its network.")
    with needed("Writing a graph for OpenVINO"):
        import openvino
    import torch

    from src_models.selective_scan import exporting

    with exporting(), quiet(), torch.no_grad():
        graph = openvino.convert_model(exported.module, example_input=(exported.example(),))
        openvino.save_model(graph, file, compress_to_fp16=False)


def check(exported: ExportedNetwork, run: Run, what: str) -> float:
    """Check that a file computes what the network computes, at sizes that it was not traced at.

    Parameters
    ----------
    exported : ExportedNetwork
        The network.
    run : callable
        Computes the file's output for pixels ``(1, C, h, w)``.
    what : str
        Name of the format, for messages.

    Returns
    -------
    float
        The largest difference, as a share of the range of the network's output.

    Raises
    ------
    SegliteError
        If it is `runtime.graphs.TOLERANCE` or more.
    """
    import torch

    from ..runtime import graphs

    largest = 0.0
    for size in CHECKED:
        pixels = exported.example(size)
        with torch.inference_mode():
            expected = exported.trained(pixels).numpy()
        largest = max(largest, graphs.difference(run(pixels), expected))
    if not largest < graphs.TOLERANCE:
        raise SegliteError(
            f"{exported.info.id} was not written as {what}: what the file computes differs from "
            f"what the network computes by {largest:.1e} of its range."
        )
    return largest


def onnx_run(graph: Path | bytes) -> Run:
    """Return what computes an ONNX file, or the content of one, on the CPU."""
    import onnxruntime

    given = str(graph) if isinstance(graph, Path) else graph
    session = onnxruntime.InferenceSession(given, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: np.asarray(session.run(None, {name: pixels.numpy()})[0])


def torchscript_run(file: Path) -> Run:
    """Return what computes a TorchScript file; only for one that was written here."""
    import torch

    return _run_of(torch.jit.load(str(file)))


def torch_export_run(file: Path) -> Run:
    """Return what computes a program of `torch.export`; only for one that was written here."""
    import torch

    return _run_of(torch.export.load(file).module())


def _run_of(module: nn.Module) -> Run:
    import torch

    def run(pixels: Tensor) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(module(pixels).numpy())

    return run


def openvino_run(file: Path) -> Run:
    """Return what computes a graph of OpenVINO on the CPU in float32."""
    from ..runtime import graphs

    compiled = graphs.compiled(graphs.read(file), "exact", 1)
    return lambda pixels: np.asarray(compiled([pixels.numpy()])[0])


def _dynamic(divisor: int) -> dict[str, Any]:
    from torch.export import Dim

    height, width = (Dim(name, min=FEWEST, max=MOST) for name in ("height", "width"))
    return {"x": {2: divisor * height, 3: divisor * width}}


@contextmanager
def quiet() -> Iterator[None]:
    """Silence exporters, which warn about what is meant."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
