"""Reading images and writing labels, one module per file format.

`read_image` and `write_labels` choose the module by the file's suffix. How a network sees an
image, such as its normalisation, belongs to `checkpoints` and above.
"""

from . import ome_zarr
from .atomic import is_unfinished, recover, replacing, sync, sync_folder
from .exports import write_coco, write_rois, write_table
from .folders import list_images
from .image_file import ImageFile
from .names import name_problem, safe_name, taken
from .orientation import in_order_of, orientation_of, read_label_pair, read_labels_for
from .pairs import FilePairs, pair_files, pair_stem
from .read_write import (
    list_scenes,
    read_image,
    read_label_file,
    read_labels,
    read_recipe,
    split_scene,
    write_labels,
)
from .registry import SUFFIXES, stem, suffix
from .validated import parse_json, read_json
from .zips import open_zip, read_member

__all__ = [
    "SUFFIXES",
    "FilePairs",
    "ImageFile",
    "in_order_of",
    "is_unfinished",
    "list_images",
    "list_scenes",
    "name_problem",
    "ome_zarr",
    "open_zip",
    "orientation_of",
    "pair_files",
    "pair_stem",
    "parse_json",
    "read_image",
    "read_json",
    "read_label_file",
    "read_label_pair",
    "read_labels",
    "read_labels_for",
    "read_member",
    "read_recipe",
    "recover",
    "replacing",
    "safe_name",
    "split_scene",
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
