"""A real worker process with a fake analysis, controlled by the first word of the series' first file."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from dicom_node.errors import SeriesRejected
from dicom_node.series import Document
from models.segmenter import ModelError, Progress
from worker.queue.runner import JobFiles, job_runner
from worker.queue.tasks import consume
from worker.settings import load_settings


class MissingSlices(SeriesRejected):
    """The rejection of the same name in worker/ct/rejections.py."""


def analyse(files: JobFiles, folder: Path, progress: Progress) -> list[Document]:
    """Act on the first word of the series; wait while a file named `hold` exists in the data directory."""
    command = files.series[0].read_bytes().split()[0]
    hold = folder.parent.parent / "hold"
    (folder / "seg.dcm").write_bytes(command)
    while hold.exists():
        progress(0.5)
        time.sleep(0.02)
    if command == b"reject":
        raise MissingSlices("1.2.3", "a gap of 7.5 mm")
    if command == b"model":
        raise ModelError("the weights have another hash")
    if command == b"full":
        raise OSError(28, "No space left on device")
    if command == b"broken":
        raise ValueError("DOE^JANE")
    uid = str(int(files.job_key[:30], 16))
    return [Document(sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4", sop_instance_uid=f"2.25.{uid}", file_name="seg.dcm")]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    settings = load_settings(Path(sys.argv[1]))
    with job_runner(settings, "config", analyse) as runner:
        code = consume(settings, runner)
    sys.exit(code)
