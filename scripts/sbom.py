"""Write an SPDX list of what was installed with a wheel: its software bill of materials.

::

    python scripts/sbom.py dist/napari_seglite-1.2.3-py3-none-any.whl SITE_PACKAGES dist
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import Distribution
from pathlib import Path
from uuid import uuid4

from licences import NAME, installed, licence, required
from license_expression import ExpressionError, LicenseExpression, get_spdx_licensing
from spdx_tools.spdx.model import (
    Actor,
    ActorType,
    Checksum,
    ChecksumAlgorithm,
    CreationInfo,
    Document,
    ExternalPackageRef,
    ExternalPackageRefCategory,
    Package,
    PackagePurpose,
    Relationship,
    RelationshipType,
    SpdxNoAssertion,
)
from spdx_tools.spdx.writer.write_anything import write_file

LICENSING = get_spdx_licensing()


def document(wheel: Path, packages: Mapping[str, Distribution]) -> Document:
    """Return an SPDX 2.3 document.

    Parameters
    ----------
    wheel : Path
        The file that the document describes.
    packages : mapping
        Everything that was installed, by normalised name, `NAME` among it.
    """
    own = package(NAME, packages[NAME])
    own.file_name = wheel.name
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    own.checksums = [Checksum(ChecksumAlgorithm.SHA256, digest)]
    own.primary_package_purpose = PackagePurpose.APPLICATION
    others = {
        name: package(name, each) for name, each in required(NAME, ("all",), dict(packages)).items()
    }
    creation = CreationInfo(
        spdx_version="SPDX-2.3",
        spdx_id="SPDXRef-DOCUMENT",
        name=wheel.stem,
        document_namespace=f"https://spdx.org/spdxdocs/{wheel.stem}-{uuid4()}",
        creators=[Actor(ActorType.TOOL, f"{NAME} scripts/sbom.py")],
        created=datetime.now(UTC).replace(microsecond=0, tzinfo=None),
        document_comment="What `pip install` of the wheel with its extra 'all' brought.",
    )
    relations = [Relationship("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, own.spdx_id)]
    relations += [
        Relationship(own.spdx_id, RelationshipType.DEPENDS_ON, each.spdx_id)
        for each in others.values()
    ]
    return Document(creation, packages=[own, *others.values()], relationships=relations)


def package(name: str, told: Distribution) -> Package:
    """Return what SPDX says about a distribution; its licence only if it is an expression."""
    stated = licence(told)
    declared = expression(stated)
    return Package(
        spdx_id=f"SPDXRef-{name}",
        name=str(told.metadata["Name"]),
        version=told.version,
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        license_concluded=SpdxNoAssertion(),
        license_declared=SpdxNoAssertion() if declared is None else declared,
        license_comment=f"stated as: {stated}" if declared is None else None,
        copyright_text=SpdxNoAssertion(),
        external_references=[
            ExternalPackageRef(
                ExternalPackageRefCategory.PACKAGE_MANAGER,
                "purl",
                f"pkg:pypi/{name}@{told.version.replace('+', '%2B')}",
            )
        ],
    )


def expression(stated: str) -> LicenseExpression | None:
    """Return a licence as SPDX writes it, or None if that is not what was stated."""
    try:
        return LICENSING.parse(stated, validate=True)
    except ExpressionError:
        return None


def main() -> None:
    """Write the document beside the wheel's name, ``.spdx.json``; its validity is checked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("site", help="the folder of packages it was installed in")
    parser.add_argument("output", type=Path, help="folder")
    arguments = parser.parse_args()
    target = arguments.output / f"{arguments.wheel.stem}.spdx.json"
    found = document(arguments.wheel, installed([arguments.site]))
    write_file(found, str(target), validate=True)
    print(f"{target.name}: {len(found.packages)} packages")


if __name__ == "__main__":
    main()
