"""Write a checkpoint in a format that other programs read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from src_models.cards import GRAPH

from ..checkpoints import CheckpointStore
from ..errors import SegliteError
from ..formats import replacing
from . import graph_files
from .graph_files import Run
from .network import ExportedNetwork, exported_network
from .package import write_package
from .passing_on import write_graph


@dataclass(frozen=True)
class Format:
    """A format of models.

    Attributes
    ----------
    title : str
        What it is called.
    suffix : str
        Ending of its files.
    write, run : callable or None
        Write a network's graph to a file, and return what computes such a file; None for packages.
    """

    title: str
    suffix: str
    write: Callable[[ExportedNetwork, Path], None] | None = None
    run: Callable[[Path], Run] | None = None


FORMATS = {
    "bioimageio": Format("BioImage.IO package", ".zip"),
    "onnx": Format("ONNX", ".onnx", graph_files.write_onnx, graph_files.onnx_run),
    "openvino": Format("OpenVINO", ".xml", graph_files.write_openvino, graph_files.openvino_run),
    "torch-export": Format(
        "torch.export", ".pt2", graph_files.write_torch_export, graph_files.torch_export_run
    ),
}


def export_model(
    store: CheckpointStore,
    name: str,
    format: str,
    target: str | Path,
    *,
    authors: Sequence[str] = (),
    licence: str = "",
) -> Path:
    """Write a checkpoint as a model for other programs.

    A graph takes normalised images ``(1, C, h, w)`` in float32, h and w multiples of the network's
    divisor, and returns logits. A package also says how images are normalised and what the output
    means. What a file computes is compared with what the checkpoint computes before the file gets
    its name.

    Parameters
    ----------
    store : CheckpointStore
        Holds the checkpoint.
    name : str
        Its id.
    format : str
        One of `FORMATS`.
    target : str or Path
        The file; an existing one is replaced. OpenVINO's weights lie beside it, ``.bin``.
    authors, licence
        Of a package, see `package.write_package`.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    CheckpointError
        If there is no such checkpoint, or it is damaged.
    SegliteError
        If the network cannot be exported, the extra is not installed, or the file's ending is not
        that of the format.

    Examples
    --------
    >>> export_model(CheckpointStore(), "nuclei-s-net", "onnx", "nuclei.onnx")  # doctest: +SKIP
    """
    target, kind = Path(target), FORMATS.get(format)
    if kind is None:
        raise SegliteError(f"There is no format {format!r:.100}; choose {', '.join(FORMATS)}.")
    if target.suffix.lower() != kind.suffix:
        raise SegliteError(f"{target}: the name of a file for {kind.title} ends in {kind.suffix}.")
    try:
        if store.info(name).network == GRAPH.name:
            if format != "onnx":
                raise SegliteError(
                    f"{name} is a model of another program, which can be written as ONNX alone."
                )
            return write_graph(store, name, target)
        if kind.write is None or kind.run is None:
            return write_package(store, name, target, authors=authors, licence=licence)
        return _write_graph(exported_network(store, name), kind, target)
    except OSError as error:
        raise SegliteError(f"{target} cannot be written: {error.strerror or error}.") from error


def _write_graph(exported: ExportedNetwork, kind: Format, target: Path) -> Path:
    assert kind.write is not None
    assert kind.run is not None
    beside = target.with_suffix(".bin")
    with replacing(target) as scratch:
        try:
            kind.write(exported, scratch)
            graph_files.check(exported, kind.run(scratch), kind.title)
        except (SegliteError, OSError):
            raise
        except Exception as error:  # exporters raise errors of many libraries
            text = " ".join(str(error).split())[:300]
            raise SegliteError(
                f"{exported.info.id} cannot be written as {kind.title}: {text}"
            ) from error
        weights = scratch.with_suffix(".bin")
        if weights.exists():
            with replacing(beside) as moved:
                weights.rename(moved)
    return target
