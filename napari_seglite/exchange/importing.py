"""Models of other programs as checkpoints: packages of BioImage.IO and ONNX files."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import src_models
from src_models.cards import GRAPH

from ..checkpoints import CheckpointInfo, CheckpointStore, printable
from ..errors import CheckpointError
from ..formats import safe_name
from .convert import UntrustedCodeError, module_to_onnx, read_state
from .description import Description, described
from .extra import needed
from .graph_files import METADATA
from .learning import ends_in_probabilities, with_weights_beside
from .package import CONFIG
from .passing_on import kept_options
from .unpacking import unpack

__all__ = ["UntrustedCodeError", "import_model"]

# Bytes of an ONNX file above which it is not read.
LARGEST = 2_000_000_000


def import_model(
    store: CheckpointStore, source: str | Path, *, name: str = "", trust_code: bool = False
) -> CheckpointInfo:
    """Add a model of another program to a store of checkpoints.

    Of a package that SegLite wrote, the checkpoint comes back. Of another one the ONNX graph is
    taken if there is one. TorchScript, and a state dict with the source of its network, are
    programs that can read and write files: they are run only if that is allowed, once, to make a
    graph of them. Nothing is unpickled. A light graph of known operators can be fine-tuned, see
    `learning`; the card's `obstacle` says why another one cannot.

    Parameters
    ----------
    store : CheckpointStore
        Gets the checkpoint.
    source : str or Path
        A package, ``.zip``, or an ``.onnx`` file.
    name : str
        Of the new checkpoint; that of the model if not given.
    trust_code : bool
        Whether code in the package may be run.

    Returns
    -------
    CheckpointInfo
        The card of the new checkpoint.

    Raises
    ------
    UntrustedCodeError
        If code would have to be run and `trust_code` is False; nothing was run.
    CheckpointError
        If the file is damaged, or its model is of no kind that can be used; the message names the
        file and what is missing.
    SegliteError
        If the extra is not installed.
    """
    source = Path(source)
    if not source.is_file():
        raise CheckpointError(f"There is no file {source}.")
    with needed("Reading a model of another program"):
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    if source.suffix.lower() == ".onnx":
        return _import_onnx(store, source, name)
    with needed("Reading a BioImage.IO package"):
        import bioimageio.spec  # noqa: F401
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        raw = unpack(source, folder)
        own = raw.get("config", {}).get(CONFIG) if isinstance(raw.get("config"), dict) else None
        if isinstance(own, dict) and own.get("network") in src_models.names():
            return _import_own(store, source, folder, raw, name)
        model = described(source, folder, raw)
        return _import_package(store, source, folder, model, name, trust_code)


# ------------------------------------------------------------------ our own packages
def _import_own(
    store: CheckpointStore, source: Path, folder: Path, raw: dict[str, Any], name: str
) -> CheckpointInfo:
    """Add the checkpoint of a package that SegLite wrote."""
    weights = raw.get("weights", {}).get("pytorch_state_dict")
    if not isinstance(weights, dict):
        raise CheckpointError(f"{source} has no PyTorch state dict of its weights.")
    info = CheckpointInfo.from_dict(raw["config"][CONFIG])
    state = {
        key.removeprefix("network."): value
        for key, value in read_state(source, folder / str(weights["source"])).items()
    }
    wanted = {key: value.shape for key, value in info.build().state_dict().items()}
    if {key: value.shape for key, value in state.items()} != wanted:
        raise CheckpointError(f"{source}: the state dict does not fit the network {info.network}.")
    parent = info.parent if info.parent and store.is_taken(info.parent) else None
    return store.save(replace(info, id=_free(store, name or info.id), parent=parent), state)


# ------------------------------------------------------------------ graphs
def _import_package(
    store: CheckpointStore,
    source: Path,
    folder: Path,
    model: Description,
    name: str,
    trust_code: bool,
) -> CheckpointInfo:
    """Add the model of somebody else's package."""
    if model.onnx is not None:
        graph = model.onnx.read_bytes()
    else:
        graph = module_to_onnx(source, folder, model, trust_code)
    outputs = _try(source, graph, model)
    classes, names, head = model.classes(outputs)
    info = CheckpointInfo(
        id=_free(store, name or safe_name(model.name, "model")),
        network=GRAPH.name,
        in_channels=model.channels,
        classes=classes,
        class_names=names,
        head=head,
        normalisation=model.normalisation,
        description=printable(model.text)[:300],
        options=_options(model, bool(head)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        origin=model.origin,
    )
    return _save(store, info, graph)


def _import_onnx(store: CheckpointStore, source: Path, name: str) -> CheckpointInfo:
    """Add an ONNX file without a description, or one that SegLite wrote."""
    if source.stat().st_size > LARGEST:
        raise CheckpointError(f"{source} has more than {LARGEST / 1e9:.0f} GB.")
    graph = source.read_bytes()
    session = _session(source, graph)
    given = session.get_inputs()
    if len(given) != 1 or len(given[0].shape) != 4 or given[0].type != "tensor(float)":
        raise CheckpointError(
            f"{source} does not take one image of float32 with the axes batch, channel, y and x."
        )
    facts = session.get_modelmeta().custom_metadata_map
    card = CheckpointInfo.from_dict(json.loads(facts[METADATA])) if METADATA in facts else None
    channels, height, width = given[0].shape[1:]
    divisor = int(facts.get("divisor", 32))
    one_size = isinstance(height, int) and isinstance(width, int)
    model = Description(
        name=source.stem,
        channels=channels if isinstance(channels, int) else 1,
        divisor=divisor,
        smallest=2 * divisor,
        fixed=(height, width) if one_size else None,
        probabilities=card is None and ends_in_probabilities(graph),
    )
    options = _options(model)
    if card is not None and card.network == GRAPH.name:  # fine-tuned here
        options |= kept_options(card)
        known = {name: options[name] for name in ("axes", "divisor", "smallest", "fixed")}
        model = replace(model, channels=card.in_channels, **known)
    outputs = _try(source, graph, model)
    if card is not None:
        info = replace(card, network=GRAPH.name, parent=None)
    else:
        classes, names, _ = model.classes(outputs)
        text = "A graph without a description: images are scaled by their percentiles."
        info = CheckpointInfo(
            "model",
            GRAPH.name,
            classes=classes,
            class_names=names,
            description=text,
            origin={"file": source.name},
        )
    stem = safe_name(source.stem, "model")
    info = replace(info, id=_free(store, name or stem), in_channels=model.channels, options=options)
    return _save(store, info, graph)


def _options(model: Description, independent: bool = False) -> dict[str, Any]:
    """Return the arguments of the graph's network."""
    return {
        "independent": independent,
        "divisor": model.divisor,
        "smallest": model.smallest,
        "fixed": model.fixed,
        "axes": model.axes,
        "probabilities": model.probabilities,
        "standardised": model.standardised,
        "each_channel": model.each_channel,
        "threshold": model.threshold,
    }


def _try(source: Path, graph: bytes, model: Description) -> int:
    """Run a graph on noise, and return how many channels come out.

    Raises
    ------
    CheckpointError
        If it cannot be run.
    """
    session = _session(source, graph)
    side = max(model.smallest, 64)
    sides = model.fixed or (side + -side % model.divisor,) * 2
    sizes = {"b": 1, "c": model.channels, "y": sides[0], "x": sides[1]}
    noise = np.random.default_rng(0).normal(size=[sizes[axis] for axis in model.axes])
    try:
        found = session.run(None, {session.get_inputs()[0].name: noise.astype(np.float32)})[0]
    except Exception as error:  # ONNX Runtime has errors of its own
        raise CheckpointError(
            f"{source}: its graph does not take an image of {sides[0]} x {sides[1]} pixels: "
            f"{printable(str(error))[:300]}"
        ) from error
    if found.ndim != len(model.axes):
        raise CheckpointError(f"{source}: its graph returns {found.shape}, which is no image.")
    return int(found.shape[model.axes.index("c")]) if "c" in model.axes else 1


def _session(source: Path, graph: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has errors of its own
        raise CheckpointError(
            f"{source}: its ONNX graph cannot be run: {printable(str(error))[:300]}. It is "
            "damaged, keeps its weights in another file, or has operators that ONNX Runtime lacks."
        ) from error


def _save(store: CheckpointStore, info: CheckpointInfo, graph: bytes) -> CheckpointInfo:
    info, state = with_weights_beside(info, graph)
    return store.save(info, state)


def _free(store: CheckpointStore, name: str) -> str:
    """Return a name that no checkpoint has, with a number behind it if need be."""
    if not store.is_taken(name):
        return name
    number = 2
    while store.is_taken(f"{name}-{number}"):
        number += 1
    return f"{name}-{number}"
