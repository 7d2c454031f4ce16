"""Content items that all groups of the SR use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from models.lungs.lungs import Lobe
from models.segmenter import ModelCard
from worker.codes import lesions as codes
from worker.outputs.dicom.header import algorithm_parameters
from worker.outputs.quantities import DECIMALS, Quantity
from worker.product import PRODUCT

Group = hd.sr.MeasurementsAndQualitativeEvaluations | hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations

COVERAGE_PERCENT = 95.0


@cache
def concept(code: Code) -> hd.sr.CodedConcept:
    """Return the code as highdicom's item, made once: a report of 20 lesions names 5,000 codes, of 150 kinds."""
    return hd.sr.CodedConcept.from_code(code)


def measurement(quantity: Quantity, coordinates: Sequence[hd.sr.CoordinatesForMeasurement] = ()) -> hd.sr.Measurement:
    """Return a measurement with its uncertainty, if known, and the coordinates it was measured at."""
    return hd.sr.Measurement(
        name=concept(quantity.name),
        value=quantity.value,
        unit=concept(quantity.unit),
        derivation=concept(quantity.derivation) if quantity.derivation else None,
        properties=_properties(quantity),
        referenced_coordinates=coordinates or None,
    )


def measurement_of_lobe(quantity: Quantity, lobe: Lobe) -> hd.sr.Measurement:
    """Return a measurement of one lobe, given as a modifier: dcmqi skips a finding site below the group."""
    number = measurement(quantity)
    number[0].ContentSequence = hd.sr.ContentSequence(
        [
            hd.sr.CodeContentItem(
                name=codes.LOBE_OF_LUNG,
                value=codes.LOBES[lobe],
                relationship_type=hd.sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
            )
        ]
    )
    return number


def _properties(quantity: Quantity) -> hd.sr.MeasurementProperties | None:
    """TID 310: ranges above and below the value, to the 95 % interval by the scan; private codes: another reader's."""
    properties = hd.sr.MeasurementProperties()
    unit = quantity.unit
    if quantity.interval is not None:
        above = round(quantity.interval.high - quantity.value, DECIMALS[unit])
        below = round(quantity.value - quantity.interval.low, DECIMALS[unit])
        # highdicom 0.28 would give both ranges the unit "no units".
        properties.append(_property(codes.UNCERTAINTY_ABOVE, above, unit))
        properties.append(_property(codes.UNCERTAINTY_BELOW, below, unit))
        properties.append(_property(codes.COVERAGE, COVERAGE_PERCENT, codes.PERCENT))
    if quantity.reader_interval is not None:
        properties.append(_property(codes.READER_LOW, quantity.reader_interval.low, unit))
        properties.append(_property(codes.READER_HIGH, quantity.reader_interval.high, unit))
    properties.extend(_property(each.name, each.value, each.unit) for each in quantity.properties)
    return properties if len(properties) else None


def _property(name: Code, value: float, unit: Code) -> hd.sr.NumContentItem:
    return hd.sr.NumContentItem(
        name=concept(name),
        value=value,
        unit=concept(unit),
        relationship_type=hd.sr.RelationshipTypeValues.HAS_PROPERTIES,
    )


def evaluation(name: Code, value: Code) -> hd.sr.QualitativeEvaluation:
    """Return a coded evaluation."""
    return hd.sr.QualitativeEvaluation(concept(name), concept(value))


def yes_no(name: Code, is_true: bool) -> hd.sr.QualitativeEvaluation:
    """Return a coded yes or no."""
    return evaluation(name, codes.YES if is_true else codes.NO)


def text(name: Code, value: str) -> hd.sr.TextContentItem:
    """Return a text item."""
    return hd.sr.TextContentItem(name=name, value=value, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS)


def uid_reference(name: Code, uid: str) -> hd.sr.UIDRefContentItem:
    """Return a UID reference."""
    return hd.sr.UIDRefContentItem(name=name, value=uid, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS)


def whole_image(image: Dataset) -> hd.sr.CoordinatesForMeasurement:
    """Return the full frame of an image as coordinates; it represents a search through the whole scan."""
    return hd.sr.CoordinatesForMeasurement(
        graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
        graphic_data=np.array(
            [(0, 0), (image.Columns, 0), (image.Columns, image.Rows), (0, image.Rows), (0, 0)], float
        ),
        source_image=hd.sr.SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID),
    )


def site(lobe: Lobe | None) -> hd.sr.FindingSite:
    """Return a lobe with its laterality, or the lung for None."""
    if lobe is None:
        return hd.sr.FindingSite(anatomic_location=codes.LUNG)
    return hd.sr.FindingSite(
        anatomic_location=codes.LOBES[lobe], laterality=codes.RIGHT if lobe.is_right else codes.LEFT
    )


def algorithm(card: ModelCard) -> hd.sr.AlgorithmIdentification:
    """Return the identification of the model."""
    return hd.sr.AlgorithmIdentification(
        name=card.name,
        version=card.version,
        parameters=[f"{name}={value}" for name, value in algorithm_parameters(card).items()],
        family=codes.ARTIFICIAL_INTELLIGENCE,
        manufacturer=PRODUCT,
    )
