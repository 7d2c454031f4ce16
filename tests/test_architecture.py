"""Who may import whom, and through which doors heavy libraries come in."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("dicom_node", "models", "worker", "training")

# training -> worker -> { models, dicom_node }
MAY_IMPORT = {
    "dicom_node": {"dicom_node"},
    "models": {"models"},
    "worker": {"worker", "models", "dicom_node"},
    "training": {"training", "worker", "models", "dicom_node"},
}
# Library: where it may be imported. The demo's PACS is a peer of its own, not a part of the node.
DOORS = {
    "pynetdicom": ("dicom_node/scp.py", "dicom_node/scu.py", "dicom_node/association.py", "worker/demo/pacs.py"),
    "dicomweb_client": ("dicom_node/dicomweb.py",),
    "requests": ("dicom_node/dicomweb.py",),
    "celery": ("dicom_node/jobs.py", "worker/tasks.py"),
    "sqlalchemy": ("dicom_node/journal",),
    "highdicom": ("worker/load.py", "worker/priors.py", "worker/outputs/"),
    "SimpleITK": ("worker/registration_steps.py", "worker/lung_file.py"),
    "skimage": ("worker/mesh.py",),
    "openpyxl": ("worker/course_export.py",),
    "nnunetv2": ("models/nnunet.py",),
    "blosc2": ("training/on_disk.py",),
    "nibabel": ("training/layouts/nifti.py", "models/nnunet.py"),
    "torch": ("models/", "training/"),
    "monai": ("models/", "training/"),
    "pydantic_settings": ("worker/settings.py",),
    "tomllib": ("worker/settings.py", "models/segmenter.py"),
}
ENVIRONMENT_DOORS = ("worker/settings.py",)


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows_and_the_doors(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    package = place.split("/")[0]
    for module in imported(path):
        library = module.split(".")[0]
        if library in PACKAGES:
            assert library in MAY_IMPORT[package], f"{place} imports {module}"
        if library in DOORS:
            assert place.startswith(DOORS[library]), f"{place} imports {module} past its door"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_environment_is_read_in_settings_alone(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    reads = {
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }
    assert not reads or place in ENVIRONMENT_DOORS, f"{place}: {reads}"


def test_the_rules_can_fail() -> None:
    assert "celery" in set(imported(ROOT / "dicom_node" / "jobs.py"))
    assert all((ROOT / package).is_dir() for package in PACKAGES)


def test_a_node_needs_no_torch() -> None:
    code = "import sys, dicom_node.node; sys.exit('torch' in sys.modules or 'highdicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
