"""General attributes of the documents: equipment, UIDs, series number, dates.

UIDs are not random and times are not read from a clock: the same job writes the same bytes under the same UIDs, as
PS3.3 C.12.1.1.1 requires of an instance that is sent twice. The content date is therefore that of the newest source
image; the journal has the time of analysis.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TypedDict

from highdicom import ContributingEquipment, SOPClass

from models.segmenter import ModelCard
from worker.codes import lesions as codes
from worker.outputs.dicom.source import Source
from worker.product import PRODUCT
from worker.uids import derived_uid

_NUMBERS = {"seg": 1, "sr": 2, "rejection": 3}


class DocumentIdentity(TypedDict):
    """Attributes that SEG and SR share, by highdicom's parameter names."""

    series_instance_uid: str
    series_number: int
    sop_instance_uid: str
    instance_number: int
    manufacturer: str
    manufacturer_model_name: str
    software_versions: str
    device_serial_number: str
    series_description: str
    content_qualification: str
    content_date: str
    content_time: str
    series_date: str
    series_time: str
    contributing_equipment: list[ContributingEquipment]


def document_identity(job_key: str, role: str, card: ModelCard, source: Source, description: str) -> DocumentIdentity:
    """Return the shared attributes of a job's document. role: "seg", "sr" or "rejection"."""
    date, time = source.content_time
    return DocumentIdentity(
        series_instance_uid=derived_uid(job_key, role, "series"),
        series_number=series_number(source, role),
        sop_instance_uid=derived_uid(job_key, role, "instance"),
        instance_number=1,
        manufacturer=PRODUCT,
        manufacturer_model_name=PRODUCT,
        software_versions=version("lungspread"),
        device_serial_number=card.weights_sha256[:16],
        series_description=f"{description} (research)",  # the content first: study lists cut after 20 characters
        content_qualification="RESEARCH",  # PS3.3 C.12.1, C.8.13.2.1.1
        content_date=date,
        content_time=time,
        series_date=date,
        series_time=time,
        contributing_equipment=[_model(card)],
    )


def _model(card: ModelCard) -> ContributingEquipment:
    """Return the model as the equipment that processed the images, as IHE AI Results asks for."""
    return ContributingEquipment(
        manufacturer=PRODUCT,
        purpose_of_reference=codes.PROCESSING_EQUIPMENT,
        manufacturer_model_name=card.name,
        software_versions=card.version,
        contribution_description="Model that outlined the lesions",
    )


def series_number(source: Source, role: str) -> int:
    """Return 10000 + ten times the source's series number + 1 for a SEG, 2 for an SR, 3 for a rejection."""
    return 10_000 + 10 * (source.series_number % 100_000) + _NUMBERS[role]


def device_uid(card: ModelCard) -> str:
    """Return the device observer UID: one for each set of weights, to distinguish the results of models."""
    return derived_uid(card.weights_sha256, "device")


def algorithm_parameters(card: ModelCard) -> dict[str, str]:
    """Return the parameters, besides name and version, that determine the result."""
    engine = {"engine": card.engine} if card.engine else {}
    return engine | {
        "weights_sha256": card.weights_sha256,
        "threshold": str(card.threshold),
        "peak_threshold": str(card.peak_threshold),
        "smallest_lesion_ml": str(card.smallest_lesion_ml),
    }


def remove_write_times(document: SOPClass) -> None:
    """Remove the times of writing that highdicom reads from the clock; all of them are optional."""
    del document.InstanceCreationDate
    del document.InstanceCreationTime
    del document.ContributingEquipmentSequence[-1].ContributionDateTime
