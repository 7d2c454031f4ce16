"""The PACS's own count of instances, asked for at a small PACS on the network."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.priors.source import make_source
from dicom_node.selection.pacs_counts import PacsCounts
from dicom_node.series import Series
from dicom_node.settings import NodeSettings, Peer
from tests.fixtures.dicom_node.small_network import Scan, encoded
from worker.demo.pacs import SmallPacs

SCAN = Scan(date="20261101", slices=5)


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[SmallPacs]:
    with SmallPacs(folder=tmp_path / "pacs") as running:
        yield running


@pytest.fixture
def counts(pacs: SmallPacs, tmp_path: Path) -> PacsCounts:
    peer = Peer(name="pacs", ae_title=pacs.ae_title, host=pacs.host, port=pacs.port, query_priors=True)
    node = NodeSettings(ae_title="LUNGNODE", data_dir=tmp_path, connect_timeout_s=2.0)
    source = make_source(peer, node, on_instance=lambda _uid, _file: None)
    return PacsCounts(sources=[source], limit_s=60.0)


def received(count: int) -> list[Series]:
    series = Series(series_uid=SCAN.series_uid, study_uid=SCAN.study_uid, sop_instance_uids=SCAN.uids[:count])
    return [series]


def archive(pacs: SmallPacs) -> None:
    for image in SCAN.images():
        pacs.archive.add(image.SOPInstanceUID, encoded(image))


def test_a_series_is_complete_when_the_node_has_as_many_instances_as_the_pacs(
    counts: PacsCounts, pacs: SmallPacs
) -> None:
    archive(pacs)

    assert not counts.is_complete(received(5), 100.0, 101.0)  # not asked yet
    assert counts.has_questions
    assert counts.step(101.0)
    assert not counts.has_questions
    assert counts.is_complete(received(5), 100.0, 102.0)


def test_a_series_waits_for_what_the_pacs_has_and_no_longer_than_the_limit(
    counts: PacsCounts, pacs: SmallPacs, caplog: pytest.LogCaptureFixture
) -> None:
    archive(pacs)
    counts.is_complete(received(3), 100.0, 101.0)
    counts.step(101.0)

    assert not counts.is_complete(received(3), 100.0, 160.0)
    with caplog.at_level(logging.WARNING):
        assert counts.is_complete(received(3), 100.0, 160.1)
        assert counts.is_complete(received(3), 100.0, 161.0)
    assert caplog.messages == [f"series {SCAN.series_uid}: 2 instances at the PACS did not arrive in 60 s"]


def test_a_series_that_the_pacs_does_not_have_is_not_waited_for(counts: PacsCounts) -> None:
    counts.is_complete(received(5), 100.0, 101.0)
    counts.step(101.0)

    assert counts.is_complete(received(5), 100.0, 102.0)


def test_a_pacs_that_is_down_leaves_the_quiet_period_alone_to_decide(counts: PacsCounts, pacs: SmallPacs) -> None:
    counts.is_complete(received(5), 100.0, 101.0)
    pacs.stop()
    counts.step(101.0)

    assert counts.is_complete(received(5), 100.0, 102.0)


def test_an_answer_from_before_the_last_arrival_does_not_count(counts: PacsCounts, pacs: SmallPacs) -> None:
    counts.is_complete(received(3), 100.0, 101.0)
    counts.step(101.0)
    archive(pacs)
    much_later = 4e9  # after the time at which the peer was asked

    assert not counts.is_complete(received(3), much_later, much_later + 1)


def test_answers_for_decided_studies_are_forgotten(counts: PacsCounts) -> None:
    counts.is_complete(received(5), 100.0, 101.0)
    counts.forget_except([])

    assert not counts.has_questions
    assert not counts.step(101.0)
