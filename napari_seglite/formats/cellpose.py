"""Masks from Cellpose's ``_seg.npy`` files, without unpickling them.

Such a file is a pickled dictionary, and unpickling can run any code. Here the opcodes that
`pickletools` lists are read into plain data: names of classes stay names, and no call is made; only
the calls that describe a NumPy array are interpreted.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from .image_file import ImageFile

_MARK = object()
_LITERALS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, type] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_VALUES = ("INT", "LONG", "FLOAT", "UNICODE", "BYTES", "STRING")


@dataclass
class _Call:
    """A call that the file asks for, and the state it would set; never made."""

    name: Any
    arguments: tuple[Any, ...]
    state: Any = None
    items: list[Any] = field(default_factory=list)


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read the masks of a ``_seg.npy`` file as labels."""
    masks = read_masks(path)
    return ImageFile.from_levels([masks], "ZYX"[-masks.ndim :])


def read_masks(path: Path) -> np.ndarray:
    """Return the masks of a ``_seg.npy`` file.

    Returns
    -------
    ndarray
        ``(H, W)`` or ``(Z, H, W)`` integer.

    Raises
    ------
    ImageError
        If the file is not a Cellpose result.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            reader = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
            reader(file)
            content = _interpret(file)
        array = content[0] if isinstance(content, list) else _object_array(content)
        masks = _array(array["masks"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ImageError(f"{path}: the file is not a Cellpose result ({error!r}).") from error
    if masks.ndim not in (2, 3) or masks.dtype.kind not in "ui":
        raise ImageError(f"{path}: masks of {masks.dtype}, shape {masks.shape}, are not labels.")
    return masks


def _object_array(call: _Call) -> dict[str, Any]:
    """Return the only entry of an object array."""
    (entry,) = call.state[4]
    if not isinstance(entry, dict):
        raise ValueError("it does not hold a dictionary")
    return entry


def _array(call: _Call) -> np.ndarray:
    """Build the array that a call describes."""
    _, shape, dtype, fortran, data = call.state
    code = str(dtype.arguments[0])
    kind = np.dtype(code).newbyteorder(dtype.state[1] if dtype.state else "=")
    if kind.hasobject:
        raise ValueError("its masks are objects")
    if isinstance(data, str):
        data = data.encode("latin1")
    if isinstance(data, _Call):  # protocol 2 writes bytes as text
        data = data.arguments[0].encode(data.arguments[1])
    return np.frombuffer(data, kind).reshape(shape, order="F" if fortran else "C").copy()


def _interpret(file: Any) -> Any:
    """Return the object that the opcodes build, with every call as a `_Call`."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(file):
        name = opcode.name
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            return stack.pop()
        if name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _LITERALS:
            stack.append(_LITERALS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "GLOBAL" or any(word in name for word in _VALUES):
            stack.append(argument)
        else:
            _combine(name, stack)
    raise ValueError("it ends too early")


def _combine(name: str, stack: list[Any]) -> None:
    """Apply an opcode that combines the top entries of the stack."""
    if name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        stack.append(tuple(_pop(stack, int(name[-1]))))
    elif name in ("TUPLE", "LIST", "DICT"):
        entries = _since_mark(stack)
        if name == "TUPLE":
            stack.append(tuple(entries))
        elif name == "LIST":
            stack.append(entries)
        else:
            stack.append(dict(zip(entries[::2], entries[1::2], strict=True)))
    elif name == "STACK_GLOBAL":
        stack.append(" ".join(_pop(stack, 2)))
    elif name in ("REDUCE", "NEWOBJ"):
        function, arguments = _pop(stack, 2)
        stack.append(_Call(function, arguments))
    elif name == "BUILD":
        state = stack.pop()
        stack[-1].state = state
    elif name in ("SETITEM", "SETITEMS"):
        entries = _pop(stack, 2) if name == "SETITEM" else _since_mark(stack)
        target = stack[-1]
        pairs = zip(entries[::2], entries[1::2], strict=True)
        if isinstance(target, dict):
            target.update(pairs)
        else:
            target.items.extend(pairs)
    elif name in ("APPEND", "APPENDS"):
        entries = _pop(stack, 1) if name == "APPEND" else _since_mark(stack)
        target = stack[-1]
        (target if isinstance(target, list) else target.items).extend(entries)
    else:
        raise ValueError(f"it uses {name}, which no array needs")


def _pop(stack: list[Any], count: int) -> list[Any]:
    entries = stack[-count:]
    del stack[-count:]
    return entries


def _since_mark(stack: list[Any]) -> list[Any]:
    mark = len(stack) - 1 - stack[::-1].index(_MARK)
    entries = stack[mark + 1 :]
    del stack[mark:]
    return entries
