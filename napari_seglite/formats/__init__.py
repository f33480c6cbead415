"""Reading images and writing labels, one module per file format.

`read_image` and `write_labels` choose the module by the file's suffix. How a network sees an
image, such as its normalisation, belongs to `checkpoints` and above.
"""

from .atomic import is_unfinished, recover, replacing, scratch_folder, sync, sync_folder
from .block_labels import CHUNK, BlockLabels, check_free, create_labels, open_labels
from .describe import describe, description
from .exports import CocoAnnotations, write_rois, write_table
from .folders import Inputs, find_images, label_stem, list_images, named_as_labels
from .image_file import ImageFile
from .names import name_problem, safe_name, taken
from .ome_zarr import is_zarr, stored_grid
from .ome_zarr_labels import write_editable, write_into
from .orientation import in_order_of, orientation_of, read_label_pair, read_labels_for
from .pairs import FilePairs, pair_files, pair_stem
from .read_write import (
    list_scenes,
    read_image,
    read_label_file,
    read_labels,
    read_recipe,
    write_labels,
)
from .registry import SUFFIXES, known_recipe, stem, suffix
from .remote import Files, is_remote, open_files
from .scene_choice import split_scene
from .targets import check_folder, check_target
from .validated import parse_json, read_json
from .zips import open_zip, read_member

__all__ = [
    "CHUNK",
    "SUFFIXES",
    "BlockLabels",
    "CocoAnnotations",
    "FilePairs",
    "Files",
    "ImageFile",
    "Inputs",
    "check_folder",
    "check_free",
    "check_target",
    "create_labels",
    "describe",
    "description",
    "find_images",
    "in_order_of",
    "is_remote",
    "is_unfinished",
    "is_zarr",
    "known_recipe",
    "label_stem",
    "list_images",
    "list_scenes",
    "name_problem",
    "named_as_labels",
    "open_files",
    "open_labels",
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
    "scratch_folder",
    "split_scene",
    "stem",
    "stored_grid",
    "suffix",
    "sync",
    "sync_folder",
    "taken",
    "write_editable",
    "write_into",
    "write_labels",
    "write_rois",
    "write_table",
]
