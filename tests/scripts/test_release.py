"""What makes a release: the version, the recipe for conda, the workflow, licences, the SBOM."""

import configparser
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from setuptools_scm import Configuration, get_version
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.writer.write_anything import write_file

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import licences  # noqa: E402
import release  # noqa: E402
import sbom  # noqa: E402

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", "utf-8")


# ------------------------------------------------------------------------- the version
@pytest.fixture
def clone(tmp_path):
    """Return a function that runs git in a new repository with one commit and no tag."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in ("pyproject.toml", ".gitattributes", ".git_archival.txt"):
        (folder / name).write_bytes((ROOT / name).read_bytes())

    def git(*words):
        who = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)

    git.folder = folder
    git("init", "-b", "main")
    git("add", "--all")
    git("commit", "-m", "first")
    return git


def version_of(folder):
    configuration = Configuration.from_file(str(folder / "pyproject.toml"), dist_name=release.NAME)
    assert configuration.fallback_version
    return get_version(root=str(folder), fallback_version=configuration.fallback_version)


def test_the_version_is_the_tag(clone):
    clone("tag", "v1.2.3")
    assert version_of(clone.folder) == "1.2.3"
    clone("commit", "--allow-empty", "-m", "second")
    later = Version(version_of(clone.folder))
    assert Version("1.2.3") < later < Version("1.2.4")
    assert later.local.startswith("g")


@pytest.mark.filterwarnings("ignore:.*shallow")
def test_a_clone_without_tags_has_a_version(clone, tmp_path):
    fallback = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    fallback = Version(fallback["setuptools_scm"]["fallback_version"])
    assert Version(version_of(clone.folder)) > fallback
    clone("tag", "v1.2.3")
    clone("commit", "--allow-empty", "-m", "second")
    shallow = tmp_path / "shallow"
    clone("clone", "--depth", "1", "--no-tags", clone.folder.as_uri(), str(shallow))
    assert Version(version_of(shallow)) > fallback


def test_a_copy_without_git_has_a_version(tmp_path):
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    assert Version(version_of(tmp_path))


def test_an_archive_of_a_tag_has_its_version(clone, tmp_path):
    clone("tag", "v1.2.3")
    clone("archive", "--prefix", "unpacked/", "-o", str(tmp_path / "all.tar"), "v1.2.3")
    subprocess.run(["tar", "-xf", "all.tar"], cwd=tmp_path, check=True)
    assert version_of(tmp_path / "unpacked") == "1.2.3"


# --------------------------------------------------------------------------- the checks
def test_a_wheel_that_is_too_large_is_no_release(tmp_path, monkeypatch):
    wheel = tmp_path / "napari_seglite-1.2.3-py3-none-any.whl"
    wheel.write_bytes(b"0" * 1001)
    monkeypatch.setattr(release, "run", lambda *words, **_: None)
    monkeypatch.setattr(release, "LARGEST_WHEEL", 1000)
    with pytest.raises(SystemExit, match="too large"):
        release.check(wheel)


def test_a_release_has_its_section_in_the_changelog(tmp_path, monkeypatch):
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## Unreleased\n\n## 1.2.3 - 2030-01-01\n"
    )
    monkeypatch.setattr(release, "ROOT", tmp_path)
    release.check_changelog("1.2.3")
    release.check_changelog("1.2.4.dev5+g0123abc")
    with pytest.raises(SystemExit, match=r"no section for 1\.2\.4"):
        release.check_changelog("1.2.4")


def test_pythons_that_are_not_here_are_left_out():
    own = "{}.{}".format(*sys.version_info)
    assert release.interpreter(own) == sys.executable
    assert release.interpreter("9.9") is None


# --------------------------------------------------------------------- the conda recipe
def requirements(lines):
    """Return names and limits of requirements, whichever of both notations they are in."""
    found = {}
    for line in filter(None, lines):
        requirement = Requirement(line.replace(" ", ""))
        name = canonicalize_name(requirement.name)
        found["pytorch" if name == "torch" else name] = requirement.specifier
    return found


def test_the_conda_recipe_requires_what_the_wheel_requires():
    recipe = yaml.safe_load((ROOT / "packaging/conda/recipe.yaml").read_text("utf-8"))
    base, plugin = (output["requirements"] for output in recipe["outputs"])
    without = [line for line in base["run"] if not line.startswith("python ")]
    wanted = SETUP["options"]["install_requires"].splitlines()
    assert requirements(without) == requirements(wanted)
    window = [line for line in plugin["run"] if "pin_subpackage" not in line]
    extras = SETUP["options.extras_require"]
    wanted = (extras["napari"] + extras["fast"]).splitlines()
    assert requirements(window) == requirements(wanted)
    build = [line for line in base["host"] if not line.startswith(("python ", "pip"))]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert requirements(build) == requirements(project["build-system"]["requires"])
    assert SETUP["options"]["python_requires"] == f">={recipe['context']['python_min']}"


# ------------------------------------------------------------------------- the workflow
def test_only_the_upload_may_ask_pypi_for_a_token():
    flow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text("utf-8"))
    assert flow["permissions"] == {"contents": "read"}
    uploads = {
        name
        for name, job in flow["jobs"].items()
        for step in job["steps"]
        if "pypi-publish" in step.get("uses", "")
    }
    assert uploads == {"pypi"}
    job = flow["jobs"]["pypi"]
    assert (job["environment"], job["permissions"]) == ("pypi", {"id-token": "write"})
    assert job["if"] == "github.ref_type == 'tag'"
    # What is uploaded was installed and attested before.
    assert flow["jobs"]["try"]["needs"] == "build"
    assert (flow["jobs"]["attest"]["needs"], job["needs"]) == ("try", "attest")


def test_actions_are_pinned_by_their_commits():
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        for used in re.findall(r"uses: (.+)", path.read_text("utf-8")):
            # Of this one no published commit could be verified.
            if not used.startswith("pyvista/setup-headless-display-action@"):
                assert re.fullmatch(r"\S+@[0-9a-f]{40} # v[\d.]+", used), f"{path.name}: {used}"


# -------------------------------------------------------------------- licences and SBOM
def test_the_page_of_licences_lists_what_is_required():
    page = licences.PAGE.read_text("utf-8")
    extras = SETUP["options.extras_require"]
    texts = [SETUP["options"]["install_requires"], *(extras[e] for e in ("napari", "fast", "all"))]
    # Only these: what they require in turn depends on the platform.
    wanted = {canonicalize_name(Requirement(x).name) for t in texts for x in t.split("\n") if x}
    unlisted = set(licences.missing(page, licences.installed(), ("all",)))
    assert "torch" in wanted
    assert not wanted & unlisted, "run scripts/licences.py"


def test_a_package_that_is_not_listed_is_found():
    page = licences.PAGE.read_text("utf-8")
    packages = licences.installed()
    without = page.replace("| torch |", "| other |")
    found = set(licences.missing(without, packages, ()))
    assert found - set(licences.missing(page, packages, ())) == {"torch"}


def test_extras_bring_more_and_extras_of_extras_too():
    packages = licences.installed()
    base = licences.required(licences.NAME, (), packages)
    whole = licences.required(licences.NAME, ("all",), packages)
    assert "napari" not in base
    # By way of napari-seglite[napari].
    assert base.keys() < whole.keys() >= {"napari", "vispy", "openvino"}
    assert licences.NAME not in whole


def test_the_sbom_is_valid_and_names_versions_and_licences(tmp_path):
    wheel = tmp_path / "napari_seglite-1.2.3-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    target = tmp_path / "napari_seglite.spdx.json"
    packages = licences.installed()
    write_file(sbom.document(wheel, packages), str(target), validate=True)
    read = parse_file(str(target))
    found = {each.name: each for each in read.packages}
    assert found["napari-seglite"].file_name == wheel.name
    assert found["numpy"].version == packages["numpy"].version
    assert "BSD-3-Clause" in str(found["numpy"].license_declared)
    assert str(found["PyQt6"].license_declared) == "GPL-3.0-only"
    assert len(read.packages) == len(read.relationships) > 50
