"""The scan of S-Net as an operation of an OpenVINO graph.

Its numbers are float32 whatever the precision of the layers around it.
"""

from __future__ import annotations

from typing import Any

import openvino
from openvino.frontend.pytorch import ConversionExtension, ModuleExtension

from src_models.selective_scan.image_scan import ImageScan

_NAME, _INPUTS = "SegliteImageScan", 6


class ScanOperation(openvino.Op):  # type: ignore[misc]
    """`ImageScan`, which documents the inputs, computed by the kernels that torch uses."""

    class_type_info = openvino.DiscreteTypeInfo(_NAME, "extension")

    def __init__(self, inputs: list[Any] | None = None, **attributes: Any) -> None:
        super().__init__(self)
        if inputs is not None:
            self.set_arguments(inputs)
            self.constructor_validate_and_infer_types()

    def validate_and_infer_types(self) -> None:
        """Tell OpenVINO that the output is like the first input."""
        self.set_output_type(0, self.get_input_element_type(0), self.get_input_partial_shape(0))

    def clone_with_new_inputs(self, new_inputs: list[Any]) -> ScanOperation:
        """Return the operation for other inputs."""
        return ScanOperation(new_inputs)

    def get_type_info(self) -> Any:
        """Return the name by which a graph on disk knows the operation."""
        return self.class_type_info

    def visit_attributes(self, visitor: Any) -> bool:
        """Store nothing: the operation has inputs alone."""
        return True

    def has_evaluate(self) -> bool:
        """Say that the operation can be computed."""
        return True

    def evaluate(self, outputs: list[Any], inputs: list[Any]) -> bool:
        """Compute the output from the inputs."""
        from src_models.selective_scan.numba_cpu import scan_image

        outputs[0].shape = inputs[0].shape
        scan_image([each.data for each in inputs], outputs[0].data)
        return True


def extensions() -> list[Any]:
    """Return what `openvino.convert_model` needs to export networks with a scan."""
    return [ModuleExtension(ImageScan, _NAME), ConversionExtension(_NAME, _convert)]


def _convert(node: Any) -> Any:
    return ScanOperation([node.get_input(k) for k in range(_INPUTS)]).outputs()
