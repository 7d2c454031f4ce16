"""A real worker process whose analysis is a stand-in: what it does, the first bytes of the series' first file say."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from dicom_node.errors import SeriesRejected
from dicom_node.series import Document
from models.segmenter import ModelError, Progress
from worker.queue.runner import JobFiles, make_job_runner
from worker.queue.tasks import listen
from worker.settings import load_settings


class MissingSlices(SeriesRejected):
    """As the loader has it."""


def analyse(files: JobFiles, folder: Path, progress: Progress) -> list[Document]:
    """Do what the series says; wait as long as there is a file named `hold` beside the inbox."""
    word = files.series[0].read_bytes().split()[0]
    held = folder.parent.parent / "hold"
    (folder / "seg.dcm").write_bytes(word)
    while held.exists():
        progress(0.5)
        time.sleep(0.02)
    if word == b"reject":
        raise MissingSlices("1.2.3", "a gap of 7.5 mm")
    if word == b"model":
        raise ModelError("the weights have another hash")
    if word == b"full":
        raise OSError(28, "No space left on device")
    if word == b"broken":
        raise ValueError("DOE^JANE")
    uid = str(int(files.job_key[:30], 16))
    return [Document(sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4", sop_instance_uid=f"2.25.{uid}", file_name="seg.dcm")]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    settings = load_settings(Path(sys.argv[1]))
    sys.exit(listen(settings, make_job_runner(settings, "recipe", analyse)))
