"""Operators of ONNX compute in torch what they compute in ONNX Runtime."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from src_models.onnx_module import Program  # noqa: E402
from src_models.onnx_operators import OPERATORS, NotSupportedError  # noqa: E402

RNG = np.random.default_rng(0)


def noise(*shape):
    return RNG.normal(size=shape).astype(np.float32)


IMAGE, SMALL = noise(2, 4, 9, 7), noise(1, 2, 5, 4)


def ints(*values):
    return np.array(values, np.int64)


def floats(*values):
    return np.array(values, np.float32)


def model_of(operator, inputs, settings, version=18, outputs=1):
    """Return a graph of one node, whose first input is the image and whose others are stored."""
    names = [f"x{k}" if each is not None else "" for k, each in enumerate(inputs)]
    made = [f"y{k}" for k in range(outputs)]
    first = helper.np_dtype_to_tensor_dtype(inputs[0].dtype)
    graph = helper.make_graph(
        [helper.make_node(operator, names, made, **settings)],
        "one",
        [helper.make_tensor_value_info("x0", first, inputs[0].shape)],
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in made],
        [numpy_helper.from_array(v, n) for v, n in zip(inputs[1:], names[1:], strict=True) if n],
    )
    for each in graph.output:
        each.ClearField("type")
    opset = helper.make_opsetid("", version)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9)


def check(operator, *inputs, version=18, outputs=1, **settings):
    model = model_of(operator, inputs, settings, version, outputs)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    expected = session.run(None, {"x0": inputs[0]})
    for name, wanted in zip([each.name for each in model.graph.output], expected, strict=True):
        model.graph.output[0].name = name
        found = Program.read(model).run({"x0": torch.from_numpy(inputs[0])}, lambda _: None)
        assert tuple(found.shape) == wanted.shape
        assert str(found.dtype).endswith(str(wanted.dtype))
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=2e-5)


KERNEL, BIAS = noise(6, 4, 3, 3), noise(6)
CONVOLUTIONS = [
    ("Conv", (KERNEL, BIAS), {"pads": [1, 1, 1, 1]}),
    ("Conv", (KERNEL,), {"pads": [0, 2, 1, 0], "strides": [2, 1], "dilations": [1, 2]}),
    ("Conv", (KERNEL,), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Conv", (noise(6, 4, 2, 2),), {"auto_pad": "SAME_LOWER"}),
    ("Conv", (noise(8, 1, 3, 3),), {"group": 4}),
    ("ConvTranspose", (noise(4, 3, 2, 2), noise(3)), {"strides": [2, 2]}),
    (
        "ConvTranspose",
        (noise(4, 3, 3, 3),),
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    ),
    ("ConvTranspose", (noise(4, 3, 3, 3),), {"strides": [2, 2], "pads": [0, 0, 1, 1]}),
    ("ConvTranspose", (noise(4, 2, 3, 3),), {"group": 2, "dilations": [2, 2]}),
    ("MaxPool", (), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("MaxPool", (), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("MaxPool", (), {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("MaxPool", (), {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("AveragePool", (), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("AveragePool", (), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("AveragePool", (), {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1], "strides": [2, 2]}),
    ("GlobalAveragePool", (), {}),
    ("GlobalMaxPool", (), {}),
]


@pytest.mark.parametrize(("operator", "others", "settings"), CONVOLUTIONS)
def test_convolutions_and_pooling(operator, others, settings):
    check(operator, IMAGE, *others, **settings)


FOUR = [noise(4), noise(4), noise(4), np.abs(noise(4)) + 0.1]


def test_norms_and_products():
    check("BatchNormalization", IMAGE, *FOUR, epsilon=1e-3)
    check("InstanceNormalization", IMAGE, *FOUR[:2])
    check("LayerNormalization", IMAGE, noise(7), noise(7))
    check("LayerNormalization", IMAGE, noise(9, 7), axis=2)
    check("GroupNormalization", IMAGE, noise(2), noise(2), num_groups=2)
    check("GroupNormalization", IMAGE, *FOUR[:2], num_groups=2, version=21)
    check("MatMul", IMAGE, noise(7, 3))
    check("Gemm", noise(5, 3), noise(4, 3), noise(4), transB=1, alpha=0.5, beta=2.0)
    check("Gemm", noise(5, 3), noise(5, 2), transA=1)
    check("Einsum", IMAGE, noise(7, 3), equation="bchw,wk->bchk")


@pytest.mark.parametrize(
    "operator",
    [
        *("Abs", "Ceil", "Celu", "Elu", "Erf", "Exp", "Flatten", "Floor", "HardSigmoid"),
        *("HardSwish", "Identity", "LeakyRelu", "LogSoftmax", "Mish", "Neg", "ReduceL1"),
        *("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare"),
        *("Relu", "Round", "Selu", "Shape", "Sigmoid", "Sign", "Size", "Softmax", "Softplus"),
        *("Softsign", "Tanh", "Transpose"),
    ],
)
def test_operators_of_one_image(operator):
    check(operator, IMAGE)


def test_activations_with_settings():
    positive = np.abs(IMAGE) + 0.1
    for operator in ("Log", "Sqrt", "Reciprocal"):
        check(operator, positive)
    check("LeakyRelu", IMAGE, alpha=0.3)
    check("PRelu", IMAGE, noise(4, 1, 1))
    check("HardSigmoid", IMAGE, alpha=1 / 6, beta=0.5)
    check("Gelu", IMAGE, version=20)
    check("Gelu", IMAGE, version=20, approximate="tanh")
    check("Clip", IMAGE, floats(-0.5).reshape(()), floats(0.5).reshape(()))
    check("Clip", IMAGE, None, floats(0.5).reshape(()))
    check("Clip", IMAGE, version=6, min=0.0, max=6.0)
    check("Softmax", IMAGE, axis=1)
    check("Softmax", IMAGE, version=11, axis=1)
    check("Dropout", IMAGE)


def test_operators_of_two_images():
    other, whole = noise(4, 1, 1), ints(3, -7, 5)
    for operator in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum"):
        check(operator, IMAGE, other)
    for operator in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        check(operator, IMAGE, other)
    check("Pow", np.abs(IMAGE), floats(1.5).reshape(()))
    check("Pow", IMAGE, ints(2).reshape(()))
    check("Div", ints(7, 8, 9), ints(2, 2, 4))
    check("Mod", whole, ints(2, 3, -3))
    check("Mod", IMAGE, other, fmod=1)
    check("And", IMAGE > 0, other > 0)
    check("Or", IMAGE > 0, other > 0)
    check("Not", IMAGE > 0)
    check("Where", IMAGE > 0, other, noise(7))


def test_reductions_of_some_axes():
    check("ReduceMean", IMAGE, ints(2, 3))
    check("ReduceMean", IMAGE, version=13, axes=[1], keepdims=0)
    check("ReduceSum", IMAGE, ints(-1), keepdims=0)
    check("ReduceSum", IMAGE, ints(), noop_with_empty_axes=1)
    check("ReduceMax", IMAGE, ints(1), version=18)


def test_order_and_shape():
    check("Transpose", IMAGE, perm=[0, 2, 3, 1])
    check("Reshape", IMAGE, ints(0, 2, -1))
    check("Reshape", IMAGE[:0], ints(0, 3), allowzero=1)
    check("Flatten", IMAGE, axis=2)
    check("Squeeze", IMAGE[:1])
    check("Squeeze", IMAGE[:1], ints(0))
    check("Squeeze", IMAGE[:1], version=11, axes=[0])
    check("Unsqueeze", IMAGE, ints(0, -1))
    check("Unsqueeze", IMAGE, version=11, axes=[2])
    check("Expand", noise(4, 1, 1), ints(2, 1, 3, 5))
    check("Tile", SMALL, ints(1, 2, 3, 1))
    check("Concat", IMAGE, noise(2, 3, 9, 7), axis=1)
    check("Split", IMAGE, ints(1, 3), axis=1, outputs=2)
    check("Split", IMAGE, version=11, axis=1, outputs=2)
    check("Split", IMAGE, axis=2, num_outputs=2, outputs=2)
    check("Slice", IMAGE, ints(1, -3), ints(4, 2**62), ints(1, 3))
    check("Slice", IMAGE, ints(-1), ints(-(2**62)), ints(2), ints(-1))
    check("Slice", IMAGE, ints(1), ints(-1), ints(-1), ints(2))
    check("Slice", IMAGE, version=9, starts=[1], ends=[3])
    check("Gather", IMAGE, ints(1, -1), axis=1)
    check("Gather", IMAGE, np.array(0, np.int64), axis=2)
    for mode in ("constant", "reflect", "edge"):
        check("Pad", IMAGE, ints(0, 0, 1, 2, 0, 0, 2, 1), mode=mode)
    check("Pad", IMAGE, ints(1, 2), floats(3.5).reshape(()), ints(2))
    check("Pad", IMAGE, version=2, pads=[0, 0, 1, 1, 0, 0, 0, 2], value=1.0)
    check("DepthToSpace", IMAGE, blocksize=2)
    check("DepthToSpace", IMAGE, blocksize=2, mode="CRD")
    check("SpaceToDepth", noise(1, 3, 4, 6), blocksize=2)


def test_numbers_and_sizes():
    check("Shape", IMAGE, start=2)
    check("Cast", IMAGE, to=TensorProto.INT64)
    check("Cast", ints(1, 0), to=TensorProto.BOOL)
    check("CastLike", IMAGE, ints(1), version=15)
    value = numpy_helper.from_array(floats(1.5))
    check("ConstantOfShape", ints(2, 3), value=value)
    check("ConstantOfShape", ints(2))
    check("Range", np.array(1, np.int64), np.array(9, np.int64), np.array(3, np.int64))


ENLARGED, SHRUNK = floats(1, 1, 2, 2), floats(1, 1, 0.6, 0.7)
WAYS = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scales", [ENLARGED, SHRUNK, floats(1, 1, 1.3, 3)])
def test_linear_and_nearest_resizing(way, scales):
    settings = {"coordinate_transformation_mode": way}
    version = 19 if way == "half_pixel_symmetric" else 18
    check("Resize", SMALL, None, scales, mode="linear", version=version, **settings)
    if way == "half_pixel_symmetric":
        return
    for rounding in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
        settings["nearest_mode"] = rounding
        check("Resize", SMALL, None, scales, mode="nearest", **settings)


def test_other_resizing():
    sizes = ints(1, 2, 11, 9)
    check("Resize", SMALL, None, None, sizes, mode="linear")
    check("Resize", SMALL, None, None, sizes, mode="nearest")
    check("Resize", SMALL, None, None, ints(10, 8), mode="linear", axes=[2, 3])
    check("Resize", SMALL, None, ENLARGED, mode="cubic", cubic_coeff_a=-0.75)
    check("Resize", SMALL, ENLARGED, version=10, mode="nearest")
    check("Resize", SMALL, ENLARGED, version=10, mode="linear")
    check("Upsample", SMALL, ENLARGED, version=9, mode="nearest")
    check("Upsample", SMALL, version=7, mode="linear", scales=[1.0, 1.0, 2.0, 3.0])


def test_what_is_not_supported_is_told():
    with pytest.raises(NotSupportedError, match="NonMaxSuppression"):
        Program.read(model_of("NonMaxSuppression", [IMAGE], {}))
    model = model_of("Resize", [SMALL, None, ENLARGED], {"antialias": 1, "mode": "linear"})
    with pytest.raises(NotSupportedError, match="Resize with antialias"):
        Program.read(model).run({"x0": torch.from_numpy(SMALL)}, lambda _: None)


def test_every_operator_is_compared_here():
    text = Path(__file__).read_text()
    known = OPERATORS.keys() - {"Constant"}  # has no input; graphs of whole networks hold it
    assert not [name for name in known if not re.search(rf"\b{name}\b", text)]
