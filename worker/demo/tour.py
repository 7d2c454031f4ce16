"""`lungspread demo`: a PACS of its own, a phantom chest or a folder of the user's, the whole round, what came of it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import SegmentationStorage
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from dicom_node.errors import NodeError, PacsUnavailable
from dicom_node.jobs import JobState
from dicom_node.journal import JobRecord, Journal
from dicom_node.scu import PacsClient
from dicom_node.settings import NodeSettings, Peer
from models.registry import model_card
from worker.demo.pacs import SmallPacs
from worker.demo.phantom import DEMO_LESIONS, chest_phantom
from worker.demo.phantom_dicom import write_series
from worker.demo.read_back import read_findings
from worker.demo.truth import compare, truth_table
from worker.findings import Findings
from worker.folder import dicom_files
from worker.load import load
from worker.outputs.page import write_page
from worker.outputs.pictures import draw
from worker.settings import Settings, load_settings

PACS_AE_TITLE = "DEMOPACS"
_START_S, _ANALYSIS_S = 60.0, 1800.0
_ENDS = (JobState.COMMITTED, JobState.REJECTED, JobState.FAILED)

CONFIGURATION = """\
# Made by `lungspread demo`: run `lungspread serve --config` with it, and point a PACS of yours at it.
[node]
ae_title = "LUNGSPREAD"
host = "127.0.0.1"
port = {node_port}
data_dir = "{data_dir}"
quiet_period_s = 3
min_free_mb = 100

[[peers]]
name = "pacs"
ae_title = "{pacs_ae_title}"
host = "127.0.0.1"
port = {pacs_port}
may_send = true
send_results = true
commitment = true
"""


class DemoFailed(NodeError):  # noqa: N818 - the sentence that the user reads
    """The round did not come to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the demo puts what it makes."""

    out: Path

    @property
    def phantom(self) -> Path:
        """The generated CT series."""
        return self.out / "phantom"

    @property
    def pacs(self) -> Path:
        """What the demo's PACS holds: CT, SEG and SR."""
        return self.out / "pacs"

    @property
    def pictures(self) -> Path:
        """Pictures of the findings, and the page of the scan."""
        return self.out / "pictures"

    @property
    def config(self) -> Path:
        """The configuration, to be used again."""
        return self.out / "lungspread.toml"


def tour(out: Console, folder: Path, ct: Path | None) -> bool:
    """Go the whole round; False when a lesion of the phantom was missed or mismeasured. Raises DemoFailed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    places = Places(out=folder.resolve())
    if ct is None:
        out.print("generating a chest whose lesions are known on paper ...")
        files = write_series(places.phantom, chest_phantom())
    else:
        files = dicom_files(ct)
    record, findings = _round(out, places, files)
    if findings is None:
        out.print(f"the series was not analysed: {record.state}: {record.reason}")
        return False
    out.print(_found(findings))
    is_true = True
    if ct is None:
        comparisons = compare(findings, DEMO_LESIONS)
        out.print(truth_table(comparisons, len(findings.findings)))
        is_true = all(comparison.is_within for comparison in comparisons)
    drawn = [*draw(findings, places.pictures), *write_page(findings, places.pictures)]
    _say_where(out, places, drawn)
    return is_true


def _round(out: Console, places: Places, files: list[Path]) -> tuple[JobRecord, Findings | None]:
    """Store the files in the PACS, let it forward them to the node, wait, and read the results back from the PACS."""
    node_port = _free_port()
    with SmallPacs(folder=places.pacs, ae_title=PACS_AE_TITLE, peers={"LUNGSPREAD": ("127.0.0.1", node_port)}) as pacs:
        places.config.write_text(
            CONFIGURATION.format(
                node_port=node_port, data_dir=places.out / "var", pacs_ae_title=PACS_AE_TITLE, pacs_port=pacs.port
            ),
            encoding="utf-8",
        )
        settings = load_settings(places.config)
        with _service(places), Progress(console=out, transient=True) as progress:
            task = progress.add_task("starting the service", total=None)
            node = _wait_for_node(node_port)
            progress.update(task, description="sending the series to PACS and node", total=len(files))
            _send(node=Peer(name="pacs", ae_title=PACS_AE_TITLE, host="127.0.0.1", port=pacs.port), files=files)
            for outcome in _client(node).store(files):
                if outcome.refusal is not None:
                    raise DemoFailed(str(outcome.refusal))
                progress.advance(task)
            progress.update(task, description="analysing, delivering, committing", total=None)
            record = _wait_for_end(settings)
        seg = pacs.stored(SegmentationStorage)
        out.print(f"job {record.job.job_key[:12]} is {record.state}; the PACS holds {len(pacs.stored())} instances")
    if record.state is not JobState.COMMITTED:
        return record, None
    return record, read_findings(
        load(files), dcmread(seg[0]) if seg else None, model_card(settings.worker.model), record.job.job_key
    )


def _send(node: Peer, files: list[Path]) -> None:
    for outcome in _client(node).store(files):
        if outcome.refusal is not None:
            raise DemoFailed(str(outcome.refusal))


def _client(peer: Peer) -> PacsClient:
    return PacsClient(peer, NodeSettings(ae_title=PACS_AE_TITLE))


@contextmanager
def _service(places: Places) -> Iterator[None]:
    """Run `lungspread serve` as a user would, its log in a file."""
    with (places.out / "service.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "worker.cli", "serve", "--config", str(places.config)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait_for_node(port: int) -> Peer:
    node = Peer(name="node", ae_title="LUNGSPREAD", host="127.0.0.1", port=port)
    until = time.monotonic() + _START_S
    while True:
        try:
            _client(node).echo()
        except PacsUnavailable as error:
            if time.monotonic() > until:
                raise DemoFailed(f"the node did not start in {_START_S:.0f} s: {error}; see service.log") from None
            time.sleep(0.3)
        else:
            return node


def _wait_for_end(settings: Settings) -> JobRecord:
    journal = Journal(settings.journal.url_in(settings.node.data_dir))
    until = time.monotonic() + _ANALYSIS_S
    while time.monotonic() < until:
        ended = journal.jobs(_ENDS)
        if ended:
            journal.close()
            return ended[0]
        time.sleep(0.3)
    raise DemoFailed(f"no result after {_ANALYSIS_S:.0f} s; see service.log")


def _found(findings: Findings) -> Table:
    table = Table(
        "lesion", "centre LPS mm", "volume ml", "long x short axis mm", "mean HU", title="what the PACS now holds"
    )
    for finding in findings.findings:
        measured = finding.measurement
        table.add_row(
            finding.lesion.tracking_id,
            " ".join(f"{value:.0f}" for value in finding.lesion.centroid_mm),
            f"{measured.volume_ml:.2f}",
            f"{measured.long_axis.length_mm:.1f} x {measured.short_axis.length_mm:.1f}",
            f"{measured.mean_hu:.0f}",
        )
    return table


def _say_where(out: Console, places: Places, pictures: list[Path]) -> None:
    lines = {
        "DICOM (CT, SEG, SR)": places.pacs,
        f"{len(pictures)} pictures": places.pictures,
        "configuration to reuse": places.config,
        "log of the service": places.out / "service.log",
    }
    for what, where in lines.items():
        out.print(f"{what:>24}: {where}", soft_wrap=True, highlight=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
