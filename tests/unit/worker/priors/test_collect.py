from __future__ import annotations

from pathlib import Path

from dicom_node.prior import PriorSearch
from tests.fixtures.models.model_card import CARD
from worker.priors.collect import read_priors
from worker.priors.files import CollectedFiles, PriorFiles


def test_a_damaged_scan_is_skipped_with_a_reason(tmp_path: Path) -> None:
    damaged = tmp_path / "sr.dcm"
    damaged.write_bytes(b"DOE^JANE is no DICOM file")
    files = CollectedFiles(
        search=PriorSearch.FOUND,
        reason="1 of 2 came",
        scans=(PriorFiles(ct=(), documents=(damaged,)), PriorFiles(ct=(), documents=())),
    )

    collected = read_priors(files, CARD)

    assert (collected.search, collected.priors) == (PriorSearch.FOUND, ())
    assert collected.reason is not None
    for part in ("1 of 2 came", "document 1 of 1: UnreadableInstance", "none of 0 documents refers to a CT"):
        assert part in collected.reason
    assert "DOE" not in collected.reason
