"""Whatever is killed, at whatever moment: every series ends committed, once.

`pytest tests/acceptance/test_crashes.py --moments 10 --outage-s 120` is the acceptance run; CI kills less often.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest

from tests.fixtures.orthanc_stack import STORESCU, Site, needs_shared, wait_for
from worker.phantom.chest import PhantomLesion, PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series

SLICES = 40
LESION = PhantomLesion(centre_mm=(-78.0, -12.0, 20.0), half_axes_mm=(18.0, 18.0, 18.0))

pytestmark = [needs_shared, pytest.mark.skipif(not STORESCU.is_file(), reason="dcmtk is not installed")]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(folder=tmp_path / "site") as site:
        yield site


@pytest.fixture(scope="module")
def rng() -> random.Random:
    return random.Random(time.time_ns())


def new_series(folder: Path, seed: int) -> str:
    """Write a small chest and return its series UID."""
    spec = PhantomSpec(seed=seed, shape=(SLICES, 176, 176), spacing_mm=(5.0, 2.0, 2.0), lesions=(LESION,))
    paths = write_series(folder, chest_phantom(spec), name="crash")
    return str(pydicom.dcmread(paths[0], stop_before_pixels=True).SeriesInstanceUID)


def all_committed(site: Site, count: int) -> bool:
    states = [row["state"] for row in site.jobs()]
    return len(states) >= count and set(states) <= {"COMMITTED", "SUPERSEDED"} and states.count("COMMITTED") == count


def assert_one_result_for_each(site: Site, series: set[str], folder: Path) -> None:
    committed = Counter(row["series_uid"] for row in site.jobs() if row["state"] == "COMMITTED")
    assert committed == Counter(series)
    for modality in ("SEG", "SR"):
        found = []
        for number, instance in enumerate(site.instances(modality)):
            document = pydicom.dcmread(site.download(instance, folder / f"{modality}-{number}.dcm"))
            found.append(document.StudyInstanceUID)
        assert len(found) == len(set(found)) == len(series), f"{modality}: {len(found)} for {len(series)} series"


def kill_while(site: Site, folder: Path, name: str, moments: int, wait: Callable[[int], None]) -> None:
    """For each moment: send a new series, wait for the moment, kill the child, and let all come to its end."""
    series: set[str] = set()
    for moment in range(moments):
        ct = folder / f"ct-{moment}"
        newest = new_series(ct, seed=moment + 1)
        series.add(newest)
        site.send(ct)
        wait(moment)
        child = site.child(name)
        assert child is not None
        child.kill()
        child.wait(10)
        wait_for(lambda: site.child(name) is not None, 60, f"{name} is back")
        if name == "node":
            wait_for(site.answers, 60, "the node answers again")
            site.forward_again(newest)
        wait_for(lambda: all_committed(site, len(series)), 180, f"{len(series)} series are committed")
    assert_one_result_for_each(site, series, folder)


def test_a_worker_killed_in_mid_inference(
    site: Site, tmp_path: Path, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    def wait(_: int) -> None:
        wait_for(lambda: "RUNNING" in site.states(), 90, "a job runs")
        time.sleep(rng.uniform(0, 2))

    kill_while(site, tmp_path, "worker", request.config.getoption("--moments"), wait)


def test_redis_killed(site: Site, tmp_path: Path, rng: random.Random, request: pytest.FixtureRequest) -> None:
    def wait(_: int) -> None:
        time.sleep(rng.uniform(0, 15))

    kill_while(site, tmp_path, "redis", request.config.getoption("--moments"), wait)


def test_a_node_killed_in_mid_store(
    site: Site, tmp_path: Path, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    inbox = site.folder / "var" / "inbox"

    def wait(moment: int) -> None:
        wanted = moment * SLICES + rng.randrange(1, SLICES)
        until = time.monotonic() + 60
        while sum(1 for _ in inbox.glob("*/*.dcm")) < wanted:
            assert time.monotonic() < until, "the series is forwarded"
            time.sleep(0.002)

    kill_while(site, tmp_path, "node", request.config.getoption("--moments"), wait)


def test_a_pacs_that_was_down_gets_its_results_when_it_is_back(
    site: Site, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    series = new_series(tmp_path / "ct", seed=1)
    site.send(tmp_path / "ct")
    wait_for(lambda: "RUNNING" in site.states(), 90, "a job runs")

    site.stop_pacs()
    time.sleep(request.config.getoption("--outage-s"))
    states = site.states()
    site.start_pacs()

    assert states == ["ANALYSED"] or request.config.getoption("--outage-s") < 30
    wait_for(lambda: all_committed(site, 1), 120, "delivered and committed")
    assert_one_result_for_each(site, {series}, tmp_path)
