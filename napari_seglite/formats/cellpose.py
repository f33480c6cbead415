"""Masks from Cellpose's ``_seg.npy`` files, without unpickling them.

Such a file is a pickled dictionary, and unpickling can run any code. Here the opcodes that
`pickletools` lists are read into plain data: names of classes stay names, and no call is made; only
the calls that describe a NumPy array are interpreted. Whatever the file holds, this takes time and
memory in proportion to its size: values are never copied, joined, compared, hashed or printed
unless they are short texts or numbers.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from .image_file import ImageFile
from .limits import check_in_memory

_LITERALS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, type] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_VALUES = ("INT", "LONG", "FLOAT", "UNICODE", "BYTES", "STRING")
# Opcodes that a file may have; results of 90,000 objects have fewer.
_MOST = 500_000
# Characters of a name.
_LONGEST = 200
_DTYPE = re.compile(r"([<>|=]?)([buif]\d)")


@dataclass(eq=False, repr=False)
class _Call:
    """A call that the file asks for, and the state it would set; never made."""

    name: Any
    arguments: tuple[Any, ...]
    state: Any = None
    items: list[Any] = field(default_factory=list)


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read the masks of a ``_seg.npy`` file as labels; a third axis is taken for Z.

    Raises
    ------
    ImageError
        If the file is not a Cellpose result.
    """
    masks = read_masks(path)
    guesses = ("axes",) if masks.ndim > 2 else ()
    return ImageFile.from_levels([masks], "TZYX"[-masks.ndim :], guesses=guesses)


def read_masks(path: Path) -> np.ndarray:
    """Return the masks of a ``_seg.npy`` file.

    Returns
    -------
    ndarray
        ``(H, W)``, ``(Z, H, W)`` or ``(T, Z, H, W)`` integer, boolean or float.

    Raises
    ------
    ImageError
        If the file is not a Cellpose result, or larger than the memory.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            check_in_memory([size], np.uint8, "Save the masks alone, as TIFF.")
            version = np.lib.format.read_magic(file)
            reader = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
            reader(file)
            content = _interpret(file)
        array = content[0] if isinstance(content, list) else _object_array(content)
        masks = _array(array["masks"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise ImageError(f"{path}: the file is not a Cellpose result ({error!r}).") from error
    if not 2 <= masks.ndim <= 4:
        raise ImageError(f"{path}: masks of the shape {masks.shape} are not labels.")
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
    code = dtype.arguments[0]
    match = _DTYPE.fullmatch(code) if isinstance(code, str) else None
    order = dtype.state[1] if dtype.state else match and match[1]
    if match is None or order not in ("<", ">", "=", "|", ""):
        raise ValueError("its masks are not numbers")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("its masks have no shape")
    if isinstance(data, _Call):  # protocol 2 writes bytes as text
        data = data.arguments[0]
    if isinstance(data, str):
        data = data.encode("latin1")
    kind = np.dtype(f"{order}{match[2]}")
    if len(data) != math.prod(shape) * kind.itemsize:
        raise ValueError("its masks are incomplete")
    return np.frombuffer(data, kind).reshape(shape, order="F" if fortran else "C").copy()


def _interpret(file: Any) -> Any:
    """Return the object that the opcodes build, with every call as a `_Call`."""
    stack: list[Any] = []
    marks: list[int] = []  # where in the stack they are
    memo: dict[int, Any] = {}
    argument: Any
    for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        name = opcode.name
        if number > _MOST:
            raise ValueError("it has more parts than any result")
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
            marks.append(len(stack))
        elif name in _LITERALS:
            stack.append(_LITERALS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "GLOBAL" or any(word in name for word in _VALUES):
            stack.append(argument)
        else:
            _combine(name, stack, marks)
    raise ValueError("it ends too early")


def _combine(name: str, stack: list[Any], marks: list[int]) -> None:
    """Apply an opcode that combines the top entries of the stack."""
    if name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        stack.append(tuple(_pop(stack, int(name[-1]))))
    elif name == "TUPLE":
        stack.append(tuple(_since_mark(stack, marks)))
    elif name == "LIST":
        stack.append(_since_mark(stack, marks))
    elif name == "DICT":
        stack.append(dict(_pairs(_since_mark(stack, marks))))
    elif name == "STACK_GLOBAL":
        module, attribute = _pop(stack, 2)
        if not _is_name(module) or not _is_name(attribute):
            raise ValueError("it names a class by something else than a name")
        stack.append(f"{module} {attribute}")
    elif name in ("REDUCE", "NEWOBJ"):
        function, arguments = _pop(stack, 2)
        stack.append(_Call(function, arguments))
    elif name == "BUILD":
        state = stack.pop()
        stack[-1].state = state
    elif name in ("SETITEM", "SETITEMS"):
        entries = _pop(stack, 2) if name == "SETITEM" else _since_mark(stack, marks)
        target = stack[-1]
        if isinstance(target, dict):
            target.update(_pairs(entries))
        else:
            target.items.extend(entries)
    elif name in ("APPEND", "APPENDS"):
        entries = _pop(stack, 1) if name == "APPEND" else _since_mark(stack, marks)
        target = stack[-1]
        (target if isinstance(target, list) else target.items).extend(entries)
    else:
        raise ValueError(f"it uses {name}, which no array needs")


def _pop(stack: list[Any], count: int) -> list[Any]:
    if len(stack) < count:
        raise ValueError("it ends too early")
    entries = stack[-count:]
    del stack[-count:]
    return entries


def _since_mark(stack: list[Any], marks: list[int]) -> list[Any]:
    mark = marks.pop()
    entries = stack[mark:]
    del stack[mark:]
    return entries


def _pairs(entries: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield keys and values; keys are short texts or numbers, since others may take for ever."""
    for key, value in zip(entries[::2], entries[1::2], strict=True):
        if not _is_name(key) and type(key) is not int:
            raise ValueError("it has a key that is no name")
        yield key, value


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST
