"""Reading images and writing labels, one module per file format.

`read_image` and `write_labels` choose the module by the file's suffix. How a network sees an
image, such as its normalisation, belongs to `checkpoints` and above.
"""

from . import ome_zarr
from .atomic import replacing
from .exports import write_coco, write_rois, write_table
from .image_file import ImageFile
from .pairs import FilePairs, pair_files, pair_stem
from .read_write import (
    list_images,
    read_image,
    read_labels,
    read_recipe,
    stem,
    suffix,
    write_labels,
)

__all__ = [
    "FilePairs",
    "ImageFile",
    "list_images",
    "ome_zarr",
    "pair_files",
    "pair_stem",
    "read_image",
    "read_labels",
    "read_recipe",
    "replacing",
    "stem",
    "suffix",
    "write_coco",
    "write_labels",
    "write_rois",
    "write_table",
]
