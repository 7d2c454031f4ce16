"""The codes that our documents speak in, each named once. Knows no encoder."""

from __future__ import annotations

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

# -- what was found, and where (PS3.16 CID 7150, CID 7159) --
ABNORMAL_STRUCTURE: Code = codes.SCT.MorphologicallyAbnormalStructure
NEOPLASM: Code = codes.SCT.Neoplasm
NODULE: Code = codes.SCT.Nodule
LUNG: Code = codes.SCT.Lung

# -- what was measured; OHIF compares the meanings of the two axes letter by letter, capitals included --
VOLUME: Code = codes.SCT.Volume
LONG_AXIS = Code("103339001", "SCT", "Long Axis")
SHORT_AXIS = Code("103340004", "SCT", "Short Axis")
ATTENUATION: Code = codes.DCM.AttenuationCoefficient
MEAN: Code = codes.SCT.Mean
STANDARD_DEVIATION: Code = codes.SCT.StandardDeviation
NUMBER_OF_LESIONS = Code("246206008", "SCT", "Number of lesions")

# -- units, UCUM --
MILLILITRE = Code("ml", "UCUM", "milliliter")
MILLIMETRE: Code = codes.UCUM.Millimeter
HOUNSFIELD_UNIT: Code = codes.UCUM.HounsfieldUnit
LESIONS = Code("{lesions}", "UCUM", "lesions")

# -- what came of the analysis (PS3.16 CID 6042, CID 6047) --
FINDINGS_SUMMARY: Code = codes.DCM.CADProcessingAndFindingsSummary
WITHOUT_FINDINGS: Code = codes.DCM.AllAlgorithmsSucceededWithoutFindings
SUMMARY_OF_ANALYSES: Code = codes.DCM.SummaryOfAnalyses
NOT_ATTEMPTED: Code = codes.DCM.NotAttempted
ABSENT: Code = codes.SCT.Absent

# -- the document and its author --
MEASUREMENT_REPORT: Code = codes.DCM.ImagingMeasurementReport
ONCOLOGY_REPORT: Code = codes.DCM.OncologyMeasurementReport
CT_PROCEDURE: Code = codes.LN.CTUnspecifiedBodyRegion
COMMENT: Code = codes.DCM.Comment
DEVICE: Code = codes.DCM.Device
ARTIFICIAL_INTELLIGENCE: Code = codes.DCM.ArtificialIntelligence

LARGEST_NODULE_MM = 30.0


def lesion_type(long_axis_mm: float) -> Code:
    """Return Nodule for a small lesion, else Neoplasm."""
    # Fleischner Society glossary (Hansell et al., Radiology 2008;246:697): a nodule measures up to 3 cm, a mass more.
    return NODULE if long_axis_mm < LARGEST_NODULE_MM else NEOPLASM
