"""Authors' checkpoints, renamed to our parameter names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Every pattern that matches rewrites the name, in this order.
_RULES: dict[str, tuple[tuple[str, str], ...]] = {
    "s-net": (
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
    ),
}


def convert(name: str, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a published state dict to our parameter names.

    Parameters
    ----------
    name : str
        The network: ``"s-net"``.
    state_dict : mapping
        As the published code saves it; a ``module.`` in front of every name is dropped.

    Returns
    -------
    dict
        The same tensors under the names that `src_models.create` uses.

    Raises
    ------
    KeyError
        If there is no converter for the network.
    ValueError
        If names or shapes are left that do not fit; the message lists them.
    """
    if name not in _RULES:
        raise KeyError(f"No converter for {name!r}; there are: {', '.join(sorted(_RULES))}.")
    converted = {_rename(_RULES[name], key): value for key, value in state_dict.items()}
    _check(name, converted)
    return converted


def _rename(rules: tuple[tuple[str, str], ...], key: str) -> str:
    key = key.removeprefix("module.")
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def _check(name: str, converted: dict[str, Tensor]) -> None:
    from . import create

    # The two ends of the network tell how many channels and classes it was built for.
    first = converted.get("encoder1.0.weight")
    last = converted.get("head.0.weight")
    if first is None or last is None:
        raise ValueError(
            f"This is no published {name} checkpoint: its first or last layer is missing."
        )
    expected = create(name, first.shape[1], last.shape[0]).state_dict()
    missing = sorted(expected.keys() - converted.keys())
    unknown = sorted(converted.keys() - expected.keys())
    shapes = sorted(
        key
        for key in expected.keys() & converted.keys()
        if expected[key].shape != converted[key].shape
    )
    if missing or unknown or shapes:
        parts = (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
        told = "; ".join(f"{what}: {', '.join(keys[:5])}" for what, keys in parts if keys)
        raise ValueError(f"This is no published {name} checkpoint. Parameters {told}.")
