"""Crash tests: whichever process is killed at whichever moment, every series is committed exactly once.

`pytest tests/acceptance/test_crashes.py --moments 10 --outage-s 120` is the acceptance run; CI kills less often.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest

from tests.fixtures.orthanc_stack import STORESCU, OrthancStack, needs_shared
from tests.fixtures.waiting import wait_until
from worker.phantom.chest import PhantomLesion, PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series

SLICES = 40
LESION = PhantomLesion(centre_mm=(-78.0, -12.0, 20.0), half_axes_mm=(18.0, 18.0, 18.0))

pytestmark = [needs_shared, pytest.mark.skipif(not STORESCU.is_file(), reason="dcmtk is not installed")]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[OrthancStack]:
    with OrthancStack(folder=tmp_path / "site") as stack:
        yield stack


@pytest.fixture(scope="module")
def rng() -> random.Random:
    return random.Random(time.time_ns())


def new_series(folder: Path, seed: int) -> str:
    """Write a small chest and return its series UID."""
    spec = PhantomSpec(seed=seed, shape=(SLICES, 176, 176), spacing_mm=(5.0, 2.0, 2.0), lesions=(LESION,))
    paths = write_series(folder, chest_phantom(spec), name="crash")
    return str(pydicom.dcmread(paths[0], stop_before_pixels=True).SeriesInstanceUID)


def all_committed(stack: OrthancStack, count: int) -> bool:
    states = stack.states()
    return len(states) >= count and set(states) <= {"COMMITTED", "SUPERSEDED"} and states.count("COMMITTED") == count


def assert_one_result_for_each(stack: OrthancStack, series: set[str], folder: Path) -> None:
    committed = Counter(row["series_uid"] for row in stack.jobs() if row["state"] == "COMMITTED")
    assert committed == Counter(series)
    for modality in ("SEG", "SR"):
        found = []
        for number, instance in enumerate(stack.instances(modality)):
            document = pydicom.dcmread(stack.download(instance, folder / f"{modality}-{number}.dcm"))
            found.append(document.StudyInstanceUID)
        assert len(found) == len(set(found)) == len(series), f"{modality}: {len(found)} for {len(series)} series"


def kill_while(stack: OrthancStack, folder: Path, name: str, moments: int, wait: Callable[[int], None]) -> None:
    """Per moment: send a new series, wait, kill the process, and wait until all series are committed."""
    series: set[str] = set()
    for moment in range(moments):
        ct = folder / f"ct-{moment}"
        newest = new_series(ct, seed=moment + 1)
        series.add(newest)
        stack.send(ct)
        wait(moment)
        child = stack.child(name)
        assert child is not None
        child.kill()
        child.wait(10)
        wait_until(lambda: stack.child(name) is not None, 60, f"{name} is running again")
        if name == "node":
            wait_until(stack.answers, 60, "the node answers again")
            stack.forward_again(newest)
        wait_until(lambda: all_committed(stack, len(series)), 180, f"{len(series)} series are committed", 0.3)
    assert_one_result_for_each(stack, series, folder)


def test_a_worker_killed_during_inference(
    stack: OrthancStack, tmp_path: Path, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    def wait(_: int) -> None:
        wait_until(lambda: "RUNNING" in stack.states(), 90, "a job runs", 0.3)
        time.sleep(rng.uniform(0, 2))

    kill_while(stack, tmp_path, "worker", request.config.getoption("--moments"), wait)


def test_redis_killed(stack: OrthancStack, tmp_path: Path, rng: random.Random, request: pytest.FixtureRequest) -> None:
    def wait(_: int) -> None:
        time.sleep(rng.uniform(0, 15))

    kill_while(stack, tmp_path, "redis", request.config.getoption("--moments"), wait)


def test_a_node_killed_during_c_store(
    stack: OrthancStack, tmp_path: Path, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    inbox = stack.folder / "var" / "inbox"

    def wait(moment: int) -> None:
        minimum = moment * SLICES + rng.randrange(1, SLICES)

        def has_arrived() -> bool:
            return sum(1 for _ in inbox.glob("*/*.dcm")) >= minimum

        wait_until(has_arrived, 60, "the series is forwarded", pause_s=0.002)

    kill_while(stack, tmp_path, "node", request.config.getoption("--moments"), wait)


def test_results_are_delivered_after_an_outage_of_the_pacs(
    stack: OrthancStack, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    series = new_series(tmp_path / "ct", seed=1)
    stack.send(tmp_path / "ct")
    wait_until(lambda: "RUNNING" in stack.states(), 90, "a job runs", 0.3)

    stack.stop_pacs()
    time.sleep(request.config.getoption("--outage-s"))
    states = stack.states()
    stack.start_pacs()

    assert states == ["ANALYSED"] or request.config.getoption("--outage-s") < 30
    wait_until(lambda: all_committed(stack, 1), 120, "delivered and committed", 0.3)
    assert_one_result_for_each(stack, {series}, tmp_path)
