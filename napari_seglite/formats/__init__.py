"""Reading images and writing labels, one module per file format.

`read_image` and `write_labels` choose the module by the file's suffix. How a network sees an
image, such as its normalisation, belongs to `checkpoints` and above.
"""

from . import ome_zarr
from .atomic import is_unfinished, recover, replacing, sync, sync_folder
from .exports import write_coco, write_rois, write_table
from .image_file import ImageFile
from .names import name_problem, safe_name, taken
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
from .validated import parse_json, read_json
from .zips import open_zip, read_member

__all__ = [
    "FilePairs",
    "ImageFile",
    "is_unfinished",
    "list_images",
    "name_problem",
    "ome_zarr",
    "open_zip",
    "pair_files",
    "pair_stem",
    "parse_json",
    "read_image",
    "read_json",
    "read_labels",
    "read_member",
    "read_recipe",
    "recover",
    "replacing",
    "safe_name",
    "stem",
    "suffix",
    "sync",
    "sync_folder",
    "taken",
    "write_coco",
    "write_labels",
    "write_rois",
    "write_table",
]
