"""Whether all images of a series name one patient."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from dicom_node.patient import NOBODY, patient_of
from worker.ct.rejections import SeveralPatients


def check_one_patient(datasets: Sequence[Dataset]) -> None:
    """Raise SeveralPatients if images contradict each other; what an image does not say contradicts nothing.

    datasets: the header of each file.
    """
    patients, known = [patient_of(ds) for ds in datasets], NOBODY
    for patient in patients:
        if contradicted := known.contradictions(patient):
            keyword = contradicted[0]
            others = sum(keyword in known.contradictions(each) for each in patients)
            raise SeveralPatients(str(datasets[0].SeriesInstanceUID), keyword, others, len(patients))
        known = known.completed_by(patient)
