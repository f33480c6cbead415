"""Weights that others published: read safely, and renamed to our parameter names.

Networks are imported only when weights for them are converted.
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Rules = tuple[tuple[str, str], ...]

# Patterns and their replacements: every pattern that matches rewrites the name, in this order.
_S_NET: Rules = (
    (r"^(encoder2\.1\.\d)\.conv([12])\.", r"\1.conv\2.0."),
    (r"^(encoder2\.1\.\d)\.bn([12])\.", r"\1.conv\2.1."),
    (r"^(decoder[12]\.0)\.conv\.([01])\.", r"\1.0.\2."),
    (r"^(decoder[12]\.0)\.conv\.3\.", r"\1.2.0."),
    (r"^(decoder[12]\.0)\.conv\.4\.", r"\1.2.1."),
    (r"^(decoder[12]\.[12])\.conv\.([01])\.", r"\1.conv1.\2."),
    (r"^(decoder[12]\.[12])\.conv\.3\.", r"\1.conv2.0."),
    (r"^(decoder[12]\.[12])\.conv\.4\.", r"\1.conv2.1."),
    (r"^GLFFs\.layers\.", "glff.stages."),
    (r"^GLFFs\.", "glff."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.self_attention\.", ".ss2d."),
    (r"\.conv2d\.", ".conv."),
    (r"\.x_proj_weight$", ".x_proj"),
    (r"\.dt_projs_weight$", ".dt_proj"),
    (r"\.dt_projs_bias$", ".dt_bias"),
    (r"\.A_logs$", ".A_log"),
    (r"\.Ds$", ".D"),
    (r"\.mlp\.dwconv\.dwconv\.", ".glu.conv."),
    (r"\.mlp\.", ".glu."),
    (r"\.conv_layer\.conv0\.", ".msff.square."),
    (r"\.conv_layer\.conv12\.", ".msff.mix."),
    (r"\.conv_layer\.bn\.", ".msff.norm."),
    (r"\.conv_layer\.conv([012])_1\.", r".msff.strips.\1.0."),
    (r"\.conv_layer\.conv([012])_2\.", r".msff.strips.\1.1."),
    (r"^final\.", "head."),
)
_RES2NET: Rules = (
    (r"^(backbone\.)?conv1\.", r"\1stem."),
    (r"^(backbone\.)?bn1\.", r"\1stem.7."),
    (r"\.conv1\.", ".reduce.0."),
    (r"\.bn1\.", ".reduce.1."),
    (r"\.convs\.(\d)\.", r".branches.\1.0."),
    (r"\.bns\.(\d)\.", r".branches.\1.1."),
    (r"\.conv3\.", ".expand.0."),
    (r"\.bn3\.", ".expand.1."),
    (r"\.downsample\.", ".shortcut."),
    *((rf"^(backbone\.)?layer{k + 1}\.", rf"\1layers.{k}.") for k in range(4)),
)
_M2SNET: Rules = (
    (r"^resnet\.", "backbone."),
    *_RES2NET,
    *((rf"^x{k + 2}_dem_1\.", f"reduce.{k}.") for k in range(4)),
    (r"^conv_3\.", "filters.0."),
    (r"^conv_5\.", "filters.1."),
    (r"^x5_x4_x3_x2_x1\.", "units.3.0.mix."),
    (r"^x5_x4_x3_x2\.", "units.2.1.mix."),
    (r"^x4_x3_x2_x1\.", "units.2.0.mix."),
    (r"^x5_x4_x3\.", "units.1.2.mix."),
    (r"^x4_x3_x2\.", "units.1.1.mix."),
    (r"^x3_x2_x1\.", "units.1.0.mix."),
    *((rf"^x{k + 2}_x{k + 1}\.", f"units.0.{k}.mix.") for k in range(4)),
    (r"^x5_dem_4\.", "last."),
    (r"^x5_dem_5\.", "top."),
    *((rf"^level{k + 1}\.", f"levels.{k}.") for k in range(3)),
    *((rf"^output{4 - k}\.", f"outputs.{k}.") for k in range(3)),
    (r"^output1\.0\.", "head."),
)

_UNET_SHARP: Rules = (
    (r"^conv(\d)_(\d)\.conv([12])\.", r"nodes.\1_\2.\3.0."),
    (r"^conv(\d)_(\d)\.bn([12])\.", r"nodes.\1_\2.\3.1."),
    (r"^(nodes\.\d_\d)\.1\.", r"\1.0."),
    (r"^(nodes\.\d_\d)\.2\.", r"\1.1."),
    *((rf"^final{k + 1}\.", f"row_heads.{k}.") for k in range(4)),
    *((rf"^final{k + 5}\.", f"decoder_heads.{k}.") for k in range(4)),
)


@dataclass(frozen=True)
class _Source:
    """How to read one kind of published weights.

    Attributes
    ----------
    rules : tuple of (str, str)
        Published names to ours.
    first, last : str
        Our names of the weights whose shapes give the numbers of channels and classes.
    factory : str
        ``"package.module:Class"`` of the module that they are for.
    arguments : callable
        Takes the renamed weights and returns the arguments of the factory.
    ignored : str
        Pattern of published names that our modules do not need.
    added : str
        Pattern of our names that the published weights lack; they become 0.
    """

    rules: Rules
    first: str
    last: str
    factory: str
    arguments: Callable[[Mapping[str, Tensor]], dict[str, Any]]
    ignored: str = r"(?!)"
    added: str = r"(?!)"


def _s_net(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    inputs, outputs = weights["encoder1.0.weight"].shape[1], weights["head.0.weight"].shape[0]
    return {"in_channels": inputs, "classes": outputs}


def _m2snet(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "in_channels": weights["backbone.stem.0.weight"].shape[1],
        "classes": weights["head.weight"].shape[0],
        "multi_scale": "filters.0.norm.weight" in weights,
        "preset": "base",
    }


def _unet_sharp(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    from .unet_sharp import PRESETS

    widths = {channels[0]: preset for preset, channels in PRESETS.items()}
    first = weights["nodes.0_0.0.0.weight"]
    return {
        "in_channels": first.shape[1],
        "classes": weights["row_heads.3.weight"].shape[0],
        "preset": widths.get(first.shape[0], "base"),
        "align_corners": True,
    }


_SOURCES = {
    "s-net": _Source(_S_NET, "encoder1.0.weight", "head.0.weight", "src_models.s_net:SNet", _s_net),
    "m2snet": _Source(
        _M2SNET,
        "backbone.stem.0.weight",
        "head.weight",
        "src_models.m2snet:M2SNet",
        _m2snet,
        ignored=r"^(resnet\.)?fc\.",
    ),
    "unet-sharp": _Source(
        _UNET_SHARP,
        "nodes.0_0.0.0.weight",
        "row_heads.3.weight",
        "src_models.unet_sharp:UNetSharp",
        _unet_sharp,
        added=r"^guide_",
    ),
    "res2net-50": _Source(
        _RES2NET,
        "stem.0.weight",
        "layers.3.2.expand.0.weight",
        "src_models.res2net:Res2Net50",
        lambda weights: {"in_channels": weights["stem.0.weight"].shape[1]},
        ignored=r"^fc\.",
    ),
    "vgg-16": _Source(
        (),
        "features.0.weight",
        "features.21.weight",
        "src_models.vgg16:VGG16Features",
        lambda weights: {},
        ignored=r"^(classifier|features\.2[3-9])\.",
    ),
}


def convert(name: str, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a published state dict to our parameter names.

    Parameters
    ----------
    name : str
        ``"s-net"``, ``"m2snet"`` (also MSNet's) or ``"unet-sharp"``, as their authors save them;
        the last are for ``align_corners=True``, and without the guided modules, whose weights
        become 0. ``"res2net-50"`` (v1b, 26w 4s) or ``"vgg-16"``, trained on ImageNet, whose
        classifiers are dropped.
    state_dict : mapping
        The published weights; a ``module.`` in front of every name is dropped.

    Returns
    -------
    dict
        The same tensors under our names: those of `src_models.create`, of `res2net.Res2Net50`
        or of `vgg16.VGG16Features`.

    Raises
    ------
    KeyError
        If there is no converter of this name.
    ValueError
        If names are missing or unknown, or shapes differ; the message lists them.
    """
    if name not in _SOURCES:
        raise KeyError(f"No converter for {name!r}; there are: {', '.join(sorted(_SOURCES))}.")
    source = _SOURCES[name]
    converted = _renamed(source, state_dict)
    _check(name, source, converted)
    return converted


def arguments(name: str, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of `src_models.create` for converted weights.

    Parameters
    ----------
    name : str
        As for `convert`; of ``"res2net-50"`` and ``"vgg-16"``, those of their classes.
    weights : mapping
        What `convert` returned.
    """
    return _SOURCES[name].arguments(weights)


def recognised(state_dict: Mapping[str, Tensor]) -> list[str]:
    """Return the names that `convert` may take for a published state dict, by its ends."""
    return [
        name for name, source in _SOURCES.items() if _has_ends(source, _renamed(source, state_dict))
    ]


def _renamed(source: _Source, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    keys = {key: key.removeprefix("module.") for key in state_dict}
    return {
        _rename(source.rules, bare): state_dict[key]
        for key, bare in keys.items()
        if not re.match(source.ignored, bare)
    }


def _rename(rules: Rules, key: str) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def _has_ends(source: _Source, converted: Mapping[str, Tensor]) -> bool:
    """Whether the kernels of the first and the last layer are there."""
    ends = (converted.get(source.first), converted.get(source.last))
    return all(end is not None and end.ndim == 4 for end in ends)


def _check(name: str, source: _Source, converted: dict[str, Tensor]) -> None:
    if not _has_ends(source, converted):
        raise ValueError(
            f"These are not the published {name} weights: the first or last layer is missing."
        )
    module, _, factory = source.factory.partition(":")
    expected = getattr(import_module(module), factory)(**source.arguments(converted)).state_dict()
    for key in expected.keys() - converted.keys():
        # Earlier versions of torch did not count the batches of a norm.
        if re.match(source.added, key) or key.endswith(".num_batches_tracked"):
            converted[key] = expected[key] * 0
    missing = sorted(expected.keys() - converted.keys())
    unknown = sorted(converted.keys() - expected.keys())
    shapes = sorted(
        key
        for key in expected.keys() & converted.keys()
        if expected[key].shape != converted[key].shape
    )
    if missing or unknown or shapes:
        faults = {"missing": missing, "unknown": unknown, "of another shape": shapes}
        listed = "; ".join(
            f"{fault}: {', '.join(keys[:5])}" for fault, keys in faults.items() if keys
        )
        raise ValueError(f"These are not the published {name} weights. Parameters {listed}.")


def read_weights(source: str | Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a state dict from a file or the web, without running any code in the file.

    Parameters
    ----------
    source : str or Path
        A ``.pth``, ``.pt`` or ``.safetensors`` file, or a URL, which is downloaded once.
    sha256 : str, optional
        The hash that the file must have, in hexadecimal digits. A URL needs it.

    Returns
    -------
    dict
        Names and tensors; an entry around them, such as ``state_dict``, is unwrapped.

    Raises
    ------
    ValueError
        If a URL comes without a hash, the hash differs, or the file holds no state dict.
    FileNotFoundError
        If there is no such file.
    """
    if re.match(r"https?://", str(source)):
        path = _download(str(source), sha256)
    else:
        path = Path(source)
        if sha256 and hashlib.sha256(path.read_bytes()).hexdigest() != sha256.lower():
            raise ValueError(f"{path} does not have the SHA-256 {sha256}. Get the file again.")
    return _state_dict(path)


def _download(url: str, sha256: str | None) -> Path:
    import pooch

    if not sha256:
        raise ValueError(
            f"Weights from {url} need a SHA-256, so that nobody can replace them unnoticed."
        )
    folder = pooch.os_cache("seglite")
    return Path(pooch.retrieve(url, known_hash=f"sha256:{sha256.lower()}", path=folder))


def _state_dict(path: Path) -> dict[str, Tensor]:
    import torch

    loaded: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        # Not the default before torch 2.6, and a pickle could run anything.
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        # torch's own message says how to load it nevertheless, which would run what it holds.
        why = "it is another kind of file, damaged, or holds more than tensors, which is not opened"
        raise ValueError(f"{path} cannot be read as PyTorch weights: {why}") from error
    except Exception as error:
        why = str(error).strip().partition("\n")[0][:200]
        raise ValueError(f"{path} cannot be read as PyTorch weights: {why}") from error
    for wrapper in ("state_dict", "model_state_dict", "model", "net"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in loaded.items()
    ):
        raise ValueError(f"{path} holds no state dict: names and tensors.")
    return loaded


def adapt_stem(kernel: Tensor, channels: int) -> Tensor:
    """Make the first kernel of an RGB network fit images with another number of channels.

    Parameters
    ----------
    kernel : Tensor
        ``(outputs, 3, h, w)``.
    channels : int
        Number of channels of the images.

    Returns
    -------
    Tensor
        ``(outputs, channels, h, w)``: averaged for one channel, repeated for several, and
        rescaled by the ratio of the channel counts, so that a grey image gives the same output as
        its RGB copy.
    """
    published = kernel.shape[1]
    if channels == published:
        return kernel
    if channels == 1:
        adapted = kernel.mean(1, keepdim=True)
    else:
        adapted = kernel[:, [k % published for k in range(channels)]]
    return adapted * (published / channels)
