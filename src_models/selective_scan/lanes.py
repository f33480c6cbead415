"""Sixteen float32 numbers that Numba computes with at once.

LLVM vectorises plain loops over arrays only after checks that the arrays do not overlap, which
take half the time of a scan. Numbers that are explicitly side by side need no such checks; the
width of the processor decides how many instructions they take.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.core.datamodel import models
from numba.extending import intrinsic as _intrinsic
from numba.extending import overload, register_model
from numpy.polynomial import Chebyshev, Polynomial

# Numba's type hints do not say what the decorator returns.
intrinsic: Any = _intrinsic
WIDTH = 16

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, WIDTH)
# Products and sums may be fused; nothing is relaxed that would let NaN or infinity vanish.
_FLAGS = ("contract", "nsz")
# 2^f on [-1/2, 1/2]: off by at most 1.5e-7, rounding included.
_SERIES = tuple(
    float(c)
    for c in Chebyshev.interpolate(np.exp2, 5, domain=[-0.5, 0.5]).convert(kind=Polynomial).coef
)
_ROUNDING = 1.5 * 2.0**23
_LOWEST, _HIGHEST = -126.0, 127.0


class LanesType(types.Type):
    """Numba's name for sixteen float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


LANES = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: LanesType) -> None:
        super().__init__(manager, kind, _VECTOR)


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    first = builder.gep(array.data, [arguments[1]])
    return builder.bitcast(first, _VECTOR.as_pointer())


@intrinsic
def load(typing: Any, array: Any, start: Any) -> Any:
    """Read ``array[start : start + 16]`` of a one-dimensional contiguous float32 array."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature, arguments), align=4)

    return LANES(array, types.intp), build


@intrinsic
def store(typing: Any, array: Any, start: Any, lanes: Any) -> Any:
    """Write ``array[start : start + 16]``."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _pointer(context, builder, signature, arguments), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, LANES), build


@intrinsic
def splat(typing: Any, number: Any) -> Any:
    """Repeat one number sixteen times."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        single = builder.insert_element(
            ir.Constant(_VECTOR, ir.Undefined), arguments[0], ir.IntType(32)(0)
        )
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return builder.shuffle_vector(single, ir.Constant(_VECTOR, ir.Undefined), zeros)

    return LANES(types.float32), build


@intrinsic
def total(typing: Any, lanes: Any) -> Any:
    """Return the sum of the sixteen numbers, added in the fastest order."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        add = get_or_insert_function(builder.module, kind, "llvm.vector.reduce.fadd.v16f32")
        return builder.call(add, [_FLOAT(0.0), arguments[0]], fastmath=("reassoc",))

    return types.float32(LANES), build


def _power_of_two(builder: Any, x: Any) -> Any:
    """Return 2^x of lanes or of one number; LLVM would not vectorise a library call."""
    single = x.type == _FLOAT
    i32 = ir.IntType(32)
    integers = i32 if single else ir.VectorType(i32, WIDTH)

    def constant(value: float) -> Any:
        return ir.Constant(x.type, value if single else [value] * WIDTH)

    def clamp(sign: str, limit: float) -> Any:
        return builder.select(builder.fcmp_ordered(sign, x, constant(limit)), x, constant(limit))

    x = clamp(">", _LOWEST)
    x = clamp("<", _HIGHEST)
    # So large a number has no digits after the point, and the whole number in its last bits.
    rounded = builder.fadd(x, constant(_ROUNDING))
    f = builder.fsub(x, builder.fsub(rounded, constant(_ROUNDING)))
    series = constant(_SERIES[-1])
    for coefficient in reversed(_SERIES[:-1]):
        series = builder.fadd(
            builder.fmul(series, f, flags=_FLAGS), constant(coefficient), flags=_FLAGS
        )
    # Adding to the bits of the exponent multiplies by a whole power of two.
    shift = ir.Constant(integers, 23 if single else [23] * WIDTH)
    power = builder.shl(builder.bitcast(rounded, integers), shift)
    return builder.bitcast(builder.add(builder.bitcast(series, integers), power), x.type)


@intrinsic
def exp2(typing: Any, x: Any) -> Any:
    """Return two to the power of lanes or of one float32, clamped to the range of float32."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _power_of_two(builder, arguments[0])

    kind = LANES if isinstance(x, LanesType) else types.float32
    return kind(kind), build


def _binary(instruction: str) -> Any:
    @intrinsic
    def compute(typing: Any, a: Any, b: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments, flags=_FLAGS)

        return LANES(LANES, LANES), build

    return compute


@intrinsic
def maximum(typing: Any, a: Any, b: Any) -> Any:
    """Return the larger of two numbers, lane by lane."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return LANES(LANES, LANES), build


def _teach(symbol: Callable[..., Any], instruction: str) -> None:
    compute = _binary(instruction)

    @overload(symbol)
    def _(a, b):  # type: ignore[no-untyped-def]
        if isinstance(a, LanesType) and isinstance(b, LanesType):
            return lambda a, b: compute(a, b)
        return None


_teach(operator.add, "fadd")
_teach(operator.sub, "fsub")
_teach(operator.mul, "fmul")
