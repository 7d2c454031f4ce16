"""docker-compose.yml and deploy/, without a Docker engine: what a typing mistake would break is compared here."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from worker.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ORTHANC = json.loads((DEPLOY / "orthanc.json").read_text())
NGINX = (DEPLOY / "nginx.conf").read_text()
OHIF_CONFIG = (DEPLOY / "ohif-config.js").read_text()
EVERY_SERVICE = pytest.mark.parametrize("name", SERVICES)
CONFIG = "/etc/lungspread/lungspread.toml"


def settings() -> Settings:
    return load_settings(DEPLOY / "lungspread.docker.toml")


def dockerfile(service: str) -> str | None:
    build = SERVICES[service].get("build")
    return (ROOT / build["context"] / build["dockerfile"]).read_text() if build else None


def bases(service: str) -> list[str]:
    text = dockerfile(service)
    return re.findall(r"^FROM (\S+)", text, re.MULTILINE) if text else [SERVICES[service]["image"]]


def published(service: str) -> dict[int, int]:
    """Port inside the container: port on the host."""
    ports = [port.rsplit(":", 2) for port in SERVICES[service].get("ports", ())]
    return {int(inside): int(outside) for _, outside, inside in ports}


def mounts(service: str) -> dict[str, str]:
    """Path inside the container: where it comes from."""
    return {inside: source for source, inside, *_ in (mount.split(":") for mount in SERVICES[service]["volumes"])}


def test_the_five_parts_are_there() -> None:
    assert set(SERVICES) == {"node", "worker", "redis", "pacs", "viewer"}


@EVERY_SERVICE
def test_every_base_is_pinned_to_a_version(name: str) -> None:
    for image in [*bases(name), SERVICES[name]["image"]]:
        tag = image.partition("@")[0].partition(":")[2]
        assert re.search(r"\d+\.\d+", tag), image
        assert "latest" not in tag


@EVERY_SERVICE
def test_no_service_runs_as_root_or_may_become_root(name: str) -> None:
    service = SERVICES[name]

    assert service["user"].partition(":")[0] not in {"", "0", "root"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    if text := dockerfile(name):
        assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == [service["user"]]


@EVERY_SERVICE
def test_every_service_is_asked_whether_it_is_well(name: str) -> None:
    check = SERVICES[name]["healthcheck"]

    assert check["test"][0] == "CMD"
    assert {"interval", "timeout"} <= set(check)
    for needed, condition in SERVICES[name].get("depends_on", {}).items():
        assert condition == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[needed]


@EVERY_SERVICE
def test_every_file_that_is_mounted_or_copied_exists(name: str) -> None:
    for source in mounts(name).values():
        assert source in COMPOSE["volumes"] or (ROOT / source).is_file(), source
    for line in re.findall(r"^COPY (?!--from)(.+)", dockerfile(name) or "", re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source


@EVERY_SERVICE
def test_every_port_is_bound_to_this_host_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@EVERY_SERVICE
def test_the_command_is_that_of_the_image(name: str) -> None:
    if text := dockerfile(name):
        (command,) = re.findall(r"^CMD (.+)", text, re.MULTILINE)
        assert json.loads(command) == SERVICES[name]["command"]


def test_what_the_dockerfiles_copy_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    for name in SERVICES:
        for line in re.findall(r"^COPY (?!--from)(.+)", dockerfile(name) or "", re.MULTILINE):
            assert set(line.split()[:-1]) <= sent


def test_node_and_worker_read_the_same_configuration_and_share_the_data() -> None:
    for name in ("node", "worker"):
        assert SERVICES[name]["command"] == ["lungspread", name, "--config", CONFIG]
        assert mounts(name)[CONFIG] == "./deploy/lungspread.docker.toml"
        assert mounts(name)[str(settings().node.data_dir)] == "data"
        assert SERVICES[name]["user"] == "10001:10001"
        assert f"-o lungspread -g lungspread {settings().node.data_dir}" in (dockerfile(name) or "")


def test_the_node_listens_where_its_port_is_published_and_its_health_is_asked() -> None:
    node = settings().node

    assert node.host == "0.0.0.0"
    assert list(published("node")) == [node.port]
    check = SERVICES["node"]["healthcheck"]["test"]
    assert check[-2:] == ["127.0.0.1", str(node.port)]
    called, calling = check[check.index("-aec") + 1], check[check.index("-aet") + 1]
    assert called == node.ae_title
    (itself,) = [peer for peer in settings().peers if peer.ae_title == calling]
    assert not any((itself.may_send, itself.send_results, itself.storage_commitment, itself.query_priors))


def test_the_node_and_orthanc_know_each_other_by_title_host_and_port() -> None:
    node, (pacs,) = settings().node, [peer for peer in settings().peers if peer.name == "pacs"]
    ours = ORTHANC["DicomModalities"]["lungspread"]

    assert (ours["AET"], ours["Host"], ours["Port"]) == (node.ae_title, "node", node.port)
    assert (pacs.ae_title, pacs.host, pacs.port) == (ORTHANC["DicomAet"], "pacs", ORTHANC["DicomPort"])
    assert ours["AllowStorageCommitment"]
    assert (pacs.may_send, pacs.send_results, pacs.storage_commitment) == (True, True, True)
    assert (pacs.query_priors, pacs.retrieve) == (True, "move")
    assert all(ours.get(f"Allow{what}", True) for what in ("Find", "Move", "Get"))
    assert set(SERVICES["node"]["networks"]) >= set(SERVICES["pacs"]["networks"])


def test_orthanc_forwards_ct_to_the_node_and_keeps_its_archive() -> None:
    (script,) = ORTHANC["LuaScripts"]
    lua = ROOT / mounts("pacs")[script]

    assert "/modalities/lungspread/store" in lua.read_text()
    assert mounts("pacs")[ORTHANC["StorageDirectory"]] == "archive"
    assert SERVICES["pacs"]["command"] == ["Orthanc", next(p for p in mounts("pacs") if p.endswith(".json"))]
    assert set(published("pacs")) == {ORTHANC["DicomPort"], ORTHANC["HttpPort"]}


def test_the_worker_reaches_redis_and_no_pacs() -> None:
    assert settings().queue.url == "redis://redis:6379/0"
    assert set(SERVICES["worker"]["networks"]) == set(SERVICES["redis"]["networks"]) == {"inside"}
    assert COMPOSE["networks"]["inside"]["internal"]
    assert "inside" in SERVICES["node"]["networks"]


def test_redis_keeps_what_it_was_told_on_a_volume() -> None:
    command = SERVICES["redis"]["command"]

    assert command[command.index("--appendonly") + 1] == "yes"
    assert mounts("redis") == {"/data": "queue"}


def test_the_worker_has_a_gpu_and_an_override_takes_it_away() -> None:
    (device,) = SERVICES["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}

    override = yaml.load((DEPLOY / "no-gpu.yml").read_text(), ResetLoader)["services"]["worker"]
    assert override["deploy"] == "reset"
    assert override["environment"]["LUNGSPREAD_WORKER__DEVICE"] == "cpu"
    assert set(override["build"]["args"]) == set(re.findall(r"^ARG (\w+)", dockerfile("worker") or "", re.MULTILINE))


def test_without_a_gpu_the_memory_that_a_network_frees_is_used_again() -> None:
    override = yaml.load((DEPLOY / "no-gpu.yml").read_text(), ResetLoader)["services"]["worker"]
    kept = {name: value for name, value in override["environment"].items() if name.startswith("MALLOC_")}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}

    assert held_after_use(plain | kept) > 64 * 2**20 > held_after_use(plain)


def held_after_use(environment: dict[str, str]) -> int:
    """Return how many bytes glibc's malloc holds when an array of 64 MiB is gone: `arena` of mallinfo2(3)."""
    code = (
        "import ctypes, numpy as np\n"
        "mallinfo2 = ctypes.CDLL(None).mallinfo2\n"
        "fields = [(f'field{n}', ctypes.c_size_t) for n in range(10)]\n"
        "mallinfo2.restype = type('MallInfo2', (ctypes.Structure,), {'_fields_': fields})\n"
        "np.ones(2**23)\n"
        "print(mallinfo2().field0)"
    )
    return int(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout)


class ResetLoader(yaml.SafeLoader):
    """Reads Compose's `!reset`."""


ResetLoader.add_constructor("!reset", lambda *_: "reset")


def test_nginx_serves_ohif_and_the_dicomweb_that_ohif_asks_for() -> None:
    assert int(re.findall(r"listen (\d+);", NGINX)[0]) in published("viewer")
    assert re.findall(r"proxy_pass (\S+);", NGINX) == [f"http://pacs:{ORTHANC['HttpPort']}"]
    (behind,) = re.findall(r"location ~ (\S+)", NGINX)
    roots = re.findall(r"(?:wadoUriRoot|qidoRoot|wadoRoot): '([^']+)'", OHIF_CONFIG)
    assert set(roots) == {ORTHANC["DicomWeb"]["WadoRoot"], ORTHANC["DicomWeb"]["Root"].rstrip("/")}
    assert all(re.match(behind, root) for root in roots)
    (root,) = re.findall(r"root (\S+);", NGINX)
    assert mounts("viewer")[f"{root}/app-config.js"] == "./deploy/ohif-config.js"
    assert f"/package/dist {root}" in (dockerfile("viewer") or "")
    assert SERVICES["viewer"]["command"][2] in mounts("viewer")


def test_the_images_install_what_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    lines = [*project["dependencies"], *project["optional-dependencies"]["worker"]]
    declared = {one.name: one.specifier for one in map(Requirement, lines)}
    for name in ("node", "worker"):
        pinned = re.findall(r" (\w+)==([\d.]+)", dockerfile(name) or "")
        assert all(version in declared[library] for library, version in pinned)
    for name in ("node", "worker"):
        assert f"python:{'.'.join(project['requires-python'][2:].split(',')[0].split('.'))}" in bases(name)[0]
        (extras,) = re.findall(r'pip install --constraint requirements\.lock "\.\[([\w,]+)\]"', dockerfile(name) or "")
        assert set(extras.split(",")) <= set(project["optional-dependencies"])
        assert SERVICES[name]["image"].endswith(f":{project['version']}")
