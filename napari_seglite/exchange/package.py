"""Checkpoints as packages of BioImage.IO, for ilastik, QuPath, deepImageJ and its other readers."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import src_models

from ..checkpoints import CheckpointInfo, CheckpointStore, intensity_limits, without_paths
from ..errors import SegliteError
from ..formats import replacing
from ..images import ImageAxes
from . import graph_files, texts
from .extra import needed
from .network import ExportedNetwork, exported_network
from .source import CALLABLE, one_file

SAMPLES = Path(__file__).parent.parent / "samples"
INPUT, OUTPUT = "image", "probability"
# Pixels at each border of a tile that its reader should discard, and the smallest side of a tile.
HALO, SMALLEST = 24, 64
# Side of the test image.
TEST_SIDE = 256
ARCHITECTURE, STATE, ONNX, TORCHSCRIPT = (
    "architecture.py",
    "weights.pt",
    "weights.onnx",
    "weights-torchscript.pt",
)
# Of the card in the package's description.
CONFIG = "seglite"


def write_package(
    store: CheckpointStore,
    name: str,
    target: Path,
    *,
    authors: Sequence[str] = (),
    licence: str = "",
    test_side: int = TEST_SIDE,
) -> Path:
    """Write a checkpoint as a BioImage.IO package of version 0.5.

    It holds the weights as a state dict with the source of the network, as ONNX and as TorchScript;
    each is checked before it is written.

    Parameters
    ----------
    store : CheckpointStore
        Holds the checkpoint.
    name : str
        Its id.
    target : Path
        The zip file; an existing one is replaced.
    authors : sequence of str
        Who trained it; *SegLite developers* for a checkpoint that comes with the package.
    licence : str
        An SPDX identifier, such as ``"CC-BY-4.0"``; that of the package for a checkpoint that comes
        with it.
    test_side : int
        Height and width of the test image, rounded up to the divisor of the network.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    CheckpointError
        If there is no such checkpoint, or it is damaged.
    SegliteError
        If it cannot be exported, a package of the extra is missing, or the description is not
        valid.
    """
    with needed("Writing a BioImage.IO package"):
        from bioimageio.spec import save_bioimageio_package
    info = store.info(name)
    exported = exported_network(
        store,
        name,
        percentiles=not info.normalisation.mean and info.in_channels > 1,
        activation=bool(info.head),
    )
    built_in = store.is_built_in(name)
    authors = tuple(authors) or (("SegLite developers",) if built_in else ())
    licence = licence or ("BSD-3-Clause" if built_in else "")
    if not authors or not licence:
        raise SegliteError(
            f"Say who trained {name} and under which licence others may use it: a package has "
            "authors and a licence, such as CC-BY-4.0."
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _write_files(exported, folder, test_side)
        try:
            described = _describe(exported, folder, authors, licence)
            with replacing(target) as temporary, graph_files.quiet():
                save_bioimageio_package(described, output_path=temporary)
        except ValueError as error:
            raise SegliteError(f"{name} cannot be described as a package: {error}") from error
    return target


def _write_files(exported: ExportedNetwork, folder: Path, side: int) -> None:
    """Write all files of a package but its description."""
    import torch

    info = exported.info
    graph_files.write_onnx(exported, folder / ONNX)
    graph_files.check(exported, graph_files.onnx_run(folder / ONNX), "ONNX")
    graph_files.write_torchscript(exported, folder / TORCHSCRIPT)
    graph_files.check(exported, graph_files.torchscript_run(folder / TORCHSCRIPT), "TorchScript")
    torch.save(dict(exported.trained.state_dict()), folder / STATE)
    (folder / ARCHITECTURE).write_text(one_file(info), "utf-8")
    pixels = sample_pixels(info, side, exported.divisor)
    with torch.inference_mode():
        raw = torch.from_numpy(network_input(exported, pixels))
        values = finished(exported, exported.trained(raw).numpy())
    np.save(folder / "test-input.npy", pixels)
    np.save(folder / "test-output.npy", values)
    texts.write_cover(folder / "cover.png", pixels[0], values[0, -1 if info.classes > 1 else 0])
    (folder / "README.md").write_text(texts.readme(info), "utf-8")


# ------------------------------------------------------------------ what goes in and comes out
def sample_pixels(info: CheckpointInfo, side: int, divisor: int) -> np.ndarray:
    """Return the middle of a sample image as a package's test input, ``(1, C, side, side)``."""
    from skimage.io import imread

    colours = info.in_channels >= 3
    image = imread(SAMPLES / f"nuclei-{'histology' if colours else 'fluorescence'}.png")
    planes = image.transpose(2, 0, 1) if image.ndim == 3 else image[None]
    side = min(-(-side // divisor) * divisor, min(planes.shape[1:]) // divisor * divisor)
    top, left = ((length - side) // 2 for length in planes.shape[1:])
    planes = planes[:, top : top + side, left : left + side]
    planes = planes[np.arange(info.in_channels) % len(planes)]
    return np.ascontiguousarray(planes[None], np.float32)


def network_input(exported: ExportedNetwork, pixels: np.ndarray) -> np.ndarray:
    """Return what the exported network takes for an image ``(1, C, h, w)``, float32."""
    info = exported.info
    if exported.percentiles:
        return np.asarray(pixels, np.float32)
    # The samples have eight bits, whose range counts where channels are standardised.
    limits = intensity_limits(pixels[0].astype(np.uint8), ImageAxes("CYX"), info)
    return info.normalisation.apply(pixels[0], limits)[None]


def finished(exported: ExportedNetwork, values: np.ndarray) -> np.ndarray:
    """Return probabilities from the output of the exported network, as a reader computes them."""
    import torch

    if exported.activation:
        return values
    logits = torch.from_numpy(values)
    joint = exported.info.classes > 1
    return np.asarray((logits.softmax(1) if joint else logits.sigmoid()).numpy())


# ------------------------------------------------------------------ the description
def _describe(exported: ExportedNetwork, folder: Path, authors: Sequence[str], licence: str) -> Any:
    from bioimageio.spec import ValidationContext

    m = _spec()

    info, card = exported.info, src_models.card(exported.info.network)
    facts = m.BioimageioConfig(
        architecture_type=card.title.replace("#", " sharp"),
        model_parameter_count=sum(p.numel() for p in exported.trained.parameters()),
        task="semantic segmentation",
        reproducibility_tolerance=[
            m.ReproducibilityTolerance(relative_tolerance=1e-3, absolute_tolerance=1e-3)
        ],
    )
    own: dict[str, Any] = {CONFIG: _plain(without_paths(info.as_dict()))}
    with ValidationContext(root=folder, perform_io_checks=True):
        return m.ModelDescr(
            name=info.id if len(info.id) > 4 else f"{info.id} by SegLite",
            description=info.description[:1024] or f"A {card.title} trained with SegLite.",
            authors=[m.Author(name=author) for author in authors],
            cite=[m.CiteEntry(**entry) for entry in texts.citations(info)],
            license=licence,
            covers=[_file(folder / "cover.png")],
            documentation=_file(folder / "README.md"),
            tags=["segmentation", "2d", "seglite", info.network, *info.class_names[1:]],
            timestamp=m.Datetime.now(),
            inputs=[_input(exported, folder)],
            outputs=[_output(exported, folder)],
            weights=_weights(exported, folder),
            config=m.Config(bioimageio=facts, **own),
        )


def _input(exported: ExportedNetwork, folder: Path) -> Any:
    m = _spec()

    info, divisor = exported.info, exported.divisor
    size = m.ParameterizedSize(min=-(-SMALLEST // divisor) * divisor, step=divisor)
    sides = [m.SpaceInputAxis(id=axis, size=size, **_scale(info, k)) for k, axis in _SIDES]
    span = (0, 255) if info.normalisation.mean else (None, None)
    return m.InputTensorDescr(
        id=INPUT,
        axes=[m.BatchAxis(size=1), m.ChannelAxis(channel_names=_channels(info)), *sides],
        test_tensor=_file(folder / "test-input.npy"),
        data=m.IntervalOrRatioDataDescr(type="float32", range=span),
        preprocessing=_preprocessing(exported),
    )


def _preprocessing(exported: ExportedNetwork) -> list[Any]:
    """Return our normalisation in the words of BioImage.IO.

    Percentiles of several channels are those of their mean, for which it has no word: the exported
    network computes them itself.
    """
    m = _spec()

    norm = exported.info.normalisation
    whole = ("channel", "y", "x")
    if exported.percentiles:
        return []
    if not norm.mean:
        ends = {"min_percentile": norm.low, "max_percentile": norm.high}
        clip = m.ClipKwargs(min=norm.clip_low, max=norm.clip_high)
        return [
            m.ScaleRangeDescr(kwargs=m.ScaleRangeKwargs(axes=whole, **ends)),
            m.ClipDescr(kwargs=clip),
        ]
    unit = m.ScaleLinearDescr(kwargs=m.ScaleLinearKwargs(gain=1 / 255, offset=0.0))
    statistics: Any
    if len(norm.mean) == 1:
        statistics = m.FixedZeroMeanUnitVarianceKwargs(mean=norm.mean[0], std=norm.std[0])
    else:
        statistics = m.FixedZeroMeanUnitVarianceAlongAxisKwargs(
            mean=list(norm.mean), std=list(norm.std), axis="channel"
        )
    return [unit, m.FixedZeroMeanUnitVarianceDescr(kwargs=statistics)]


def _output(exported: ExportedNetwork, folder: Path) -> Any:
    m = _spec()

    info = exported.info
    sides = [
        m.SpaceOutputAxisWithHalo(
            id=axis,
            halo=HALO,
            size=m.SizeReference(tensor_id=INPUT, axis_id=axis),
            **_scale(info, k),
        )
        for k, axis in _SIDES
    ]
    steps: list[Any] = []
    if not exported.activation:
        softmax = m.SoftmaxDescr(kwargs=m.SoftmaxKwargs(axis="channel"))
        steps = [softmax if info.classes > 1 else m.SigmoidDescr()]
    return m.OutputTensorDescr(
        id=OUTPUT,
        description=texts.output(info),
        axes=[m.BatchAxis(size=1), m.ChannelAxis(channel_names=_outputs(info)), *sides],
        test_tensor=_file(folder / "test-output.npy"),
        data=m.IntervalOrRatioDataDescr(type="float32", range=(None, None)),
        postprocessing=steps,
    )


def _weights(exported: ExportedNetwork, folder: Path) -> Any:
    import torch

    m = _spec()

    info = exported.info
    version = m.Version(torch.__version__.partition("+")[0])
    arguments: dict[str, Any] = {
        "in_channels": info.in_channels,
        "outputs": info.classes + info.head_channels,
        "options": _plain({k: v for k, v in info.options.items() if k != "pixel_features"}),
        "pixel_features": info.options.get("pixel_features", False),
        "percentiles": list(exported.percentiles) if exported.percentiles else None,
        "activation": list(exported.activation),
    }
    source = folder / ARCHITECTURE
    parent: Any = "pytorch_state_dict"
    return m.WeightsDescr(
        pytorch_state_dict=m.PytorchStateDictWeightsDescr(
            **_hashed(folder / STATE),
            architecture=m.ArchitectureFromFileDescr(
                **_hashed(source), callable=CALLABLE, kwargs=arguments
            ),
            pytorch_version=version,
        ),
        onnx=m.OnnxWeightsDescr(
            **_hashed(folder / ONNX), opset_version=graph_files.OPSET, parent=parent
        ),
        torchscript=m.TorchscriptWeightsDescr(
            **_hashed(folder / TORCHSCRIPT), pytorch_version=version, parent=parent
        ),
    )


_SIDES = ((0, "y"), (1, "x"))


def _scale(info: CheckpointInfo, axis: int) -> dict[str, Any]:
    return {} if info.spacing is None else {"scale": info.spacing[axis], "unit": "micrometer"}


def _channels(info: CheckpointInfo) -> list[str]:
    if info.in_channels == 3:
        return ["red", "green", "blue"]
    return [f"channel{k}" for k in range(info.in_channels)]


def _outputs(info: CheckpointInfo) -> list[str]:
    names = info.class_names[1:] if info.classes == 1 else info.class_names
    count = info.head_channels
    return [*names, *(f"{info.head}{k if count > 1 else ''}" for k in range(count))]


def _spec() -> Any:
    """Return the classes of a model's description, which take text for their types of names."""
    from bioimageio.spec.model import v0_5

    return v0_5


def _file(path: Path) -> Any:
    from bioimageio.spec.common import FileDescr

    return FileDescr(**_hashed(path))


def _hashed(path: Path) -> dict[str, Any]:
    return {"source": path, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _plain(value: Any) -> Any:
    """Return JSON data as YAML holds it: lists for tuples, and no numbers that are not finite."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
