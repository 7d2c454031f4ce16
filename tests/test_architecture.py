"""Who may import whom, which modules import heavy libraries, and how large a folder may be."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("dicom_node", "models", "worker", "training")
MOST_MODULES = 22

# training -> worker -> { models, dicom_node }
MAY_IMPORT = {
    "dicom_node": {"dicom_node"},
    "models": {"models"},
    "worker": {"worker", "models", "dicom_node"},
    "training": {"training", "worker", "models", "dicom_node"},
}
# Rooms of worker, and the modules beside them. A room may import what its arrows lead to, and all that those reach.
ARROWS = {
    "cli": {"queue", "timeline", "demo", "folder", "pipeline", "settings"},
    "queue": {"pipeline", "settings"},
    "demo": {"pipeline", "folder", "phantom", "settings"},
    "folder": {"pipeline", "settings"},
    "pipeline": {
        "ct",
        "priors",
        "follow_up",
        "staging",
        "lesions",
        "outputs",
        "outputs.dicom",
        "outputs.json",
        "outputs.page",
    },
    "timeline": {"outputs.json", "recist", "settings"},
    "outputs": {"codes", "findings", "report"},
    "outputs.dicom": {"outputs", "ct"},
    "outputs.json": {"outputs"},
    "outputs.page": {"outputs"},
    "priors": {"codes", "ct"},
    "codes": {"follow_up"},
    "follow_up": {"recist", "registration", "lesions", "findings"},
    "report": {"findings", "follow_up"},
    "findings": {"lesions", "staging"},
    "staging": {"lesions"},
    "registration": {"lesions"},
    "recist": set(),
    "lesions": set(),
    "ct": set(),
    "phantom": set(),
    "settings": set(),
}
# Modules that every room may import.
EVERYWHERE = {"uids", "product", "frame"}
# Modules that put the outputs together: they alone import the rooms of outputs.
OUTPUTS_OF_ALL = {"worker/outputs/encode.py"}
DOMAIN = ("lesions", "staging", "registration", "recist", "follow_up")
# Library: where it may be imported. The demo's PACS is a peer of its own, not a part of the node.
ALLOWED_IMPORTERS = {
    "pynetdicom": (
        "dicom_node/network/scp.py",
        "dicom_node/network/scu.py",
        "dicom_node/network/association.py",
        "dicom_node/network/acceptor.py",
        "dicom_node/network/dimse.py",
        "dicom_node/network/pdu_socket.py",
        "worker/demo/pacs.py",
    ),
    "urllib3": ("dicom_node/network/http_session.py",),
    "starlette": ("dicom_node/dicomweb/",),
    "uvicorn": ("dicom_node/dicomweb/server.py", "dicom_node/dicomweb/connections.py"),
    "python_multipart": ("dicom_node/network/multipart.py", "dicom_node/network/media_types.py"),
    "celery": ("dicom_node/jobs.py", "worker/queue/tasks.py"),
    "sqlalchemy": ("dicom_node/journal/",),
    "alembic": ("dicom_node/journal/",),
    "highdicom": ("worker/outputs/dicom/",),
    "SimpleITK": ("worker/registration/transforms.py", "worker/priors/lung_mask.py"),
    "skimage": ("worker/lesions/mesh.py", "training/readers/grey.py"),
    "xlsxwriter": ("worker/timeline/export.py",),
    "nnunetv2": ("models/external/nnunet.py",),
    "imagecodecs": ("worker/ct/frames.py",),
    "openvino": ("models/engines/openvino_engine.py",),
    "blosc2": ("training/data/array.py",),
    "nibabel": ("training/readers/nifti.py", "models/external/nnunet.py"),
    "torch": ("models/", "training/"),
    "monai": ("models/", "training/"),
    "pydantic_settings": ("worker/settings.py",),
    "tomllib": ("worker/settings.py", "models/segmenter.py"),
}
ENVIRONMENT_READERS = ("worker/settings.py",)


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def modules() -> dict[str, Path]:
    """Every module of the packages by its dotted name."""
    parts = {path: path.relative_to(ROOT).with_suffix("").parts for path in sources()}
    return {".".join(names[:-1] if names[-1] == "__init__" else names): path for path, names in parts.items()}


def imported_modules(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of the packages that a file imports, anywhere in it; `from a import b` may name a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in known else node.module or "" for name in names)


def room_of(module: str) -> str:
    """The room of a module of worker, or the module itself where it lies beside the rooms."""
    _, room, *rest = module.split(".")
    if room == "outputs" and rest and (ROOT / "worker" / "outputs" / rest[0]).is_dir():
        return f"outputs.{rest[0]}"
    return room


def reached(room: str) -> set[str]:
    """The room, and all that the arrows lead to from there."""
    found: set[str] = set()
    ahead = [room]
    while ahead:
        found.add(room := ahead.pop())
        ahead += ARROWS[room] - found
    return found | EVERYWHERE


def against_the_arrows() -> set[tuple[str, str]]:
    """Every import between rooms of worker that no arrow allows."""
    known, found = modules(), set()
    for module, path in known.items():
        place = path.relative_to(ROOT).as_posix()
        if not module.startswith("worker.") or place in OUTPUTS_OF_ALL or room_of(module) in EVERYWHERE:
            continue
        allowed = reached(room_of(module))
        others = (name for name in imported_modules(path, known) if name.startswith("worker."))
        found |= {(place, name) for name in others if room_of(name) not in allowed}
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows_and_the_doors(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    package = place.split("/")[0]
    for module in imported(path):
        library = module.split(".")[0]
        if library in PACKAGES:
            assert library in MAY_IMPORT[package], f"{place} imports {module}"
        if library in ALLOWED_IMPORTERS:
            assert place.startswith(ALLOWED_IMPORTERS[library]), (
                f"{place} imports {module} outside the modules that may"
            )


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_environment_is_read_in_settings_alone(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    reads = {
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }
    assert not reads or place in ENVIRONMENT_READERS, f"{place}: {reads}"


def test_every_module_of_worker_has_its_arrows() -> None:
    rooms = {room_of(module) for module in modules() if module.startswith("worker.")}
    assert rooms - set(ARROWS) - EVERYWHERE == set()


def test_the_arrows_of_worker_go_in_no_circle() -> None:
    TopologicalSorter(ARROWS).prepare()


def test_the_rooms_of_worker_follow_the_arrows() -> None:
    found = against_the_arrows()
    assert found == set(), "against the arrows"


@pytest.mark.parametrize("room", DOMAIN)
def test_the_domain_knows_no_pydicom(room: str) -> None:
    for path in sorted((ROOT / "worker" / room).rglob("*.py")):
        assert "pydicom" not in {module.split(".")[0] for module in imported(path)}, path


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules()
    graph = {module: set(imported_modules(path, known)) - {module} for module, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_folder_holds_too_many_modules() -> None:
    folders = {path.parent for package in (*PACKAGES, "tests") for path in (ROOT / package).rglob("*.py")}
    counts = {
        folder.relative_to(ROOT).as_posix(): sum(path.name != "__init__.py" for path in folder.glob("*.py"))
        for folder in folders
    }
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_the_rules_can_fail() -> None:
    assert "celery" in set(imported(ROOT / "dicom_node" / "jobs.py"))
    assert all((ROOT / package).is_dir() for package in PACKAGES)
    assert all((ROOT / place).exists() for places in ALLOWED_IMPORTERS.values() for place in places)
    assert "pipeline" not in reached("lesions")


def test_a_node_needs_no_torch_and_no_web_server() -> None:
    code = (
        "import sys, dicom_node.node; sys.exit(bool({'torch', 'highdicom', 'starlette', 'uvicorn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
