"""The source of a network in one file, for programs that do not know this package."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import src_models

if TYPE_CHECKING:
    from ..checkpoints import CheckpointInfo

CALLABLE = "build"
_SCAN = '''
def selective_scan(u, delta, A, B, C, D, delta_bias=None, delta_softplus=False):
    """Scan sequences; see `selective_scan_graph`."""
    return selective_scan_graph(ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus))
'''
# Faster on a CPU, but compiled by a package that other programs lack.
IMAGE_SCAN = "src_models.selective_scan.image_scan"
_NO_IMAGE_SCAN = '''
class ImageScan(torch.nn.Module):
    """Stands for SegLite's own scan, which is not here."""


def can_scan_image(u, channels):
    """Return whether that one is here."""
    return False
'''
_BUILD = '''
def {callable}(
    in_channels, outputs, options=None, pixel_features=False, percentiles=None, activation=()
):
    """Return the network with fresh weights, as other programs run it."""
    network = {name}(in_channels, outputs, **(options or {{}}))
    if pixel_features:
        attach(network, in_channels, outputs, pixel_features)
    return Exported(network, percentiles, activation)
'''
_HEADER = '''"""{title}: {paper}.

Written by napari-seglite {version}; BSD-3-Clause, the SegLite developers.
"""

from __future__ import annotations
'''


def one_file(info: CheckpointInfo) -> str:
    """Return Python source that needs torch alone, with a function `CALLABLE`.

    Raises
    ------
    ValueError
        If two of the modules that are joined define the same name.
    """
    from .. import __version__

    card = src_models.card(info.network)
    module, _, name = card.factory.partition(":")
    modules: list[str] = []
    for each in (module, "src_models.pixel_features", "src_models.exported"):
        _add(each, modules)
    parts = [_HEADER.format(title=card.title, paper=card.paper, version=__version__)]
    defined: dict[str, str] = {}
    for each in modules:
        if each == IMAGE_SCAN:
            parts.append(_NO_IMAGE_SCAN)
            continue
        tree = ast.parse(_path(each).read_text("utf-8"))
        for new in _names(tree):
            if defined.setdefault(new, each) != each:
                raise ValueError(f"{each} and {defined[new]} both define {new}")
        parts.append(_body(each, tree))
        if each == "src_models.selective_scan.graph":
            parts.append(_SCAN)
    parts.append(_BUILD.format(callable=CALLABLE, name=name))
    return "\n".join(parts)


def _add(module: str, modules: list[str]) -> None:
    """Add a module behind those that it imports from."""
    if module == "src_models.selective_scan":
        module = "src_models.selective_scan.graph"
    if module in modules:
        return
    if module != IMAGE_SCAN:
        for node in ast.parse(_path(module).read_text("utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.level:
                package = module.rpartition(".")[0]
                _add(f"{package}.{node.module}", modules)
    modules.append(module)


def _path(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"the source of {module} is not here")
    return Path(spec.origin)


def _body(module: str, tree: ast.Module) -> str:
    """Return the source of a module without its docstring and its imports from the package."""
    lines = _path(module).read_text("utf-8").splitlines()
    for node in tree.body:
        foreign = isinstance(node, ast.ImportFrom) and (node.level or node.module == "__future__")
        title = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if foreign or title:
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    return "\n".join(lines).strip() + "\n\n"


def _names(tree: ast.Module) -> set[str]:
    """Return the names that a module defines itself."""
    names = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            inside = (each for target in node.targets for each in ast.walk(target))
            names |= {each.id for each in inside if isinstance(each, ast.Name)}
    return names
