"""Reads reports back: by dcmqi, an independent reader, and item by item. Knows no encoder but the one it calls."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from worker.findings import Findings
from worker.outputs import OUTPUTS, encode

BIN = Path(sys.executable).parent

Made = Any  # an Analysed of conftest.py

GROUP = ("Imaging Measurements", "Measurement Group")

ONE = [np.s_[3:7, 5:12, 4:20]]
FIVE = [np.s_[1:4, 2:8, 2:9], np.s_[1:3, 20:24, 5:9], np.s_[5:9, 12:15, 20:30], np.s_[8:9, 30:31, 3:4],
        np.s_[6:11, 33:38, 30:34]]  # fmt: skip
AT_THE_CORNERS = [np.s_[0:2, 0:4, 0:4], np.s_[10:12, 36:40, 32:36]]


def saved(made: Made, folder: Path, *names: str, findings: Findings | None = None) -> dict[str, Path]:
    """The documents of these findings, else of those that were made, as files."""
    files = {}
    for name, document in encode(findings or made.findings, made.series.datasets, names or tuple(OUTPUTS)).items():
        files[name] = folder / f"{name}.dcm"
        document.save_as(files[name], enforce_file_format=True)
    return files


def read_by_dcmqi(file: Path) -> Any:  # noqa: ANN401  (what the reader says of a report)
    """What tid1500reader makes of a report."""
    out = file.with_suffix(".json")
    command = [str(BIN / "tid1500reader"), "--inputDICOM", str(file), "--outputMetadata", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "Warning" not in done.stderr
    return json.loads(out.read_text())


def numbers(group: Any) -> dict[tuple[str, ...], float]:  # noqa: ANN401
    """Each number of a measurement group by its name, derivation, and unit as code, scheme and meaning."""
    read = {
        (
            item["quantity"]["CodeMeaning"],
            item.get("derivationModifier", {}).get("CodeMeaning", ""),
            *(item["units"][key] for key in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")),
        ): float(item["value"])
        for item in group["measurementItems"]
        if "measurementModifiers" not in item
    }
    assert len(read) == sum("measurementModifiers" not in item for item in group["measurementItems"]), "two of a name"
    return read


def said(group: Any) -> dict[str, Any]:  # noqa: ANN401
    """What a group states in codes or words, by the name of the statement."""
    return {
        item["conceptCode"]["CodeMeaning"]: item["conceptValue"]
        if isinstance(item["conceptValue"], str)
        else item["conceptValue"]["CodeMeaning"]
        for item in group["qualitativeEvaluations"]
    }


def items(item: Dataset, *path: str) -> Iterator[Dataset]:
    """The content items found by following these concept meanings down the tree."""
    if not path:
        yield item
        return
    for child in item.get("ContentSequence", ()):
        if child.ConceptNameCodeSequence[0].CodeMeaning == path[0]:
            yield from items(child, *path[1:])


def everything(item: Dataset) -> Iterator[Dataset]:
    """Every content item below this one."""
    for child in item.get("ContentSequence", ()):
        yield child
        yield from everything(child)
