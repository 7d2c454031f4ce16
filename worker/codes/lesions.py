"""Codes of findings, measurements and reports, each named once.

Standard codes are preferred. Private codes are used if no standard code has the meaning; dicom_node/CONFORMANCE.md
defines each of them.
"""

from __future__ import annotations

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from models.lungs.lungs import Lobe
from worker.lesions.density import Consistency

PRIVATE_SCHEME = "99LUNGSPREAD"


def _private(value: str, meaning: str) -> Code:
    return Code(value, PRIVATE_SCHEME, meaning)


# -- findings and finding sites (PS3.16 CID 7150, CID 7159) --
ABNORMAL_STRUCTURE: Code = codes.SCT.MorphologicallyAbnormalStructure
NEOPLASM: Code = codes.SCT.Neoplasm
NODULE: Code = codes.SCT.Nodule
LUNG: Code = codes.SCT.Lung
LOBE_OF_LUNG: Code = codes.SCT.LobeOfLung
RIGHT: Code = codes.SCT.Right
LEFT: Code = codes.SCT.Left
# CID 6170 has lobes without a side; readers that skip modifiers would lose it. These are SNOMED CT codes.
LOBES = {
    Lobe.RIGHT_UPPER: Code("42400003", "SCT", "Upper lobe of right lung"),
    Lobe.RIGHT_MIDDLE: Code("72481006", "SCT", "Middle lobe of right lung"),
    Lobe.RIGHT_LOWER: Code("266005", "SCT", "Lower lobe of right lung"),
    Lobe.LEFT_UPPER: Code("44714003", "SCT", "Upper lobe of left lung"),
    Lobe.LEFT_LOWER: Code("41224006", "SCT", "Lower lobe of left lung"),
}

# -- sizes (CID 7470 to 7472); OHIF compares the meanings of the two axes case-sensitively --
VOLUME: Code = codes.SCT.Volume
LONG_AXIS = Code("103339001", "SCT", "Long Axis")
SHORT_AXIS = Code("103340004", "SCT", "Short Axis")

# -- shape (CID 7477) --
MESH_VOLUME: Code = codes.IBSI.VolumeOfMesh
SURFACE: Code = codes.IBSI.SurfaceAreaOfMesh
SURFACE_TO_VOLUME: Code = codes.IBSI.SurfaceToVolumeRatio
SPHERICITY: Code = codes.IBSI.Sphericity
ASPHERICITY: Code = codes.IBSI.Asphericity
COMPACTNESS_1: Code = codes.IBSI.Compactness1
COMPACTNESS_2: Code = codes.IBSI.Compactness2
SPHERICAL_DISPROPORTION: Code = codes.IBSI.SphericalDisproportion
LARGEST_DIAMETER: Code = codes.IBSI.Maximum3DDiameterOfAMesh
MAJOR_AXIS: Code = codes.IBSI.MajorAxisIn3DLength
MINOR_AXIS: Code = codes.IBSI.MinorAxisIn3DLength
LEAST_AXIS: Code = codes.IBSI.LeastAxisIn3DLength
ELONGATION: Code = codes.IBSI.Elongation
FLATNESS: Code = codes.IBSI.Flatness
CONVEX_VOLUME_SHARE: Code = codes.IBSI.VolumeDensityInConvexHull
CONVEX_SURFACE_RATIO: Code = codes.IBSI.AreaDensityInConvexHull

# -- Hounsfield units: one concept name, with the derivation (CID 7464, and SNOMED CT percentiles) --
ATTENUATION: Code = codes.DCM.AttenuationCoefficient
MEAN: Code = codes.SCT.Mean
STANDARD_DEVIATION: Code = codes.SCT.StandardDeviation
SKEWNESS: Code = codes.DCM.Skewness
KURTOSIS: Code = codes.DCM.Kurtosis
MINIMUM: Code = codes.SCT.Minimum
MEDIAN: Code = codes.SCT.Median
MAXIMUM: Code = codes.SCT.Maximum
PERCENTILE_10 = Code("371890005", "SCT", "Tenth percentile")
PERCENTILE_90 = Code("371887004", "SCT", "Ninetieth percentile")

# -- density and margin --
OPACITY: Code = codes.DCM.OpacityDescriptor
CONSISTENCIES = {
    Consistency.SOLID: Code("RID50151", "RADLEX", "solid pulmonary nodule"),
    Consistency.PART_SOLID: Code("RID50152", "RADLEX", "part-solid pulmonary nodule"),
    Consistency.GROUND_GLASS: Code("RID50153", "RADLEX", "non-solid pulmonary nodule"),
}
MASS = Code("118538004", "SCT", "Mass")
CALCIFICATION = Code("18115005", "SCT", "Pathologic calcification")
SOLID_FRACTION = _private("SOLID_FRACTION", "Solid fraction of the tissue")
SOLID_LONG_AXIS = _private("SOLID_LONG_AXIS", "Long axis of the solid part")
CALCIFIED_VOLUME = _private("CALCIFIED_VOLUME", "Calcified volume")
CAVITY_VOLUME = _private("CAVITY_VOLUME", "Cavity volume")
CAVITATION = _private("CAVITATION", "Cavitation")
SPICULATION = _private("SPICULATION", "Spiculation index")
LOBULATION = _private("LOBULATION", "Lobulation index")

# -- location --
WALL_DISTANCE: Code = codes.DCM.DistanceFromChestWall
MEDIASTINUM_DISTANCE = _private("MEDIASTINUM_DIST", "Distance from mediastinum")
CARINA_DISTANCE = _private("CARINA_DIST", "Distance from carina")
FISSURE_DISTANCE = _private("FISSURE_DIST", "Distance of the center from the next lobe")
WALL_CONTACT = _private("WALL_CONTACT", "Contact with chest wall or diaphragm")
MEDIASTINUM_CONTACT = _private("MEDIAST_CONTACT", "Contact with mediastinum")
LOBE_CERTAIN = _private("LOBE_CERTAIN", "Lobe is certain")
LUNGS_FOUND = _private("LUNGS_FOUND", "Lungs and lobes found")
CARINA_FOUND = _private("CARINA_FOUND", "Carina found")

# -- all lesions together --
NUMBER_OF_LESIONS = Code("246206008", "SCT", "Number of lesions")
LESIONS_RIGHT = _private("LESIONS_RIGHT", "Number of lesions in the right lung")
LESIONS_LEFT = _private("LESIONS_LEFT", "Number of lesions in the left lung")
SATELLITES = _private("SATELLITES", "Number of satellite lesions")
BURDEN = _private("BURDEN", "Tumor burden")
BURDEN_SHARE = _private("BURDEN_SHARE", "Share of the lungs that is tumor")
LUNGS_VOLUME = _private("LUNGS_VOLUME", "Volume of both lungs")
LOBE_LESIONS = _private("LOBE_LESIONS", "Number of lesions in the lobe")
LOBE_BURDEN = _private("LOBE_BURDEN", "Tumor burden of the lobe")
LOBE_VOLUME = _private("LOBE_VOLUME", "Volume of the lobe")
INVOLVEMENT = _private("INVOLVEMENT", "Share of the lobe that is tumor")
LARGEST_DISTANCE = _private("LARGEST_DISTANCE", "Largest distance between two lesions")
DISPERSION = _private("DISPERSION", "Dispersion around the center of the burden")

# -- proposal of T, and of M1a by a nodule in the other lung. SNOMED CT has clinical (cT) and pathological (pT) --
# -- categories; NCIt warns that its plain ones may be read as clinical. The imaging proposal is none of these. --
T_PROPOSAL = _private("T_PROPOSAL", "Imaging proposal of T (TNM 9), not confirmed")
M_PROPOSAL = _private("M_PROPOSAL", "Imaging proposal of M (TNM 9), not confirmed")
T_DESCRIPTOR = _private("T_DESCRIPTOR", "Proposed descriptor as written")
T_BASIS = _private("T_BASIS", "Basis of the imaging proposal")
T_CATEGORIES = {
    name: _private(f"PROPOSED_{name.upper()}", f"{name} proposed")
    for name in ("Tis", "T1mi", "T1a", "T1b", "T1c", "T2a", "T2b", "T3", "T4")
}
M1A = _private("PROPOSED_M1A", "M1a proposed")

# -- uncertainty (TID 310, CID 225) --
UNCERTAINTY_ABOVE = Code("371886008", "SCT", "+, range of upper measurement uncertainty")
UNCERTAINTY_BELOW = Code("371885007", "SCT", "-, range of lower measurement uncertainty")
COVERAGE = _private("COVERAGE", "Coverage probability of the uncertainty")
READER_LOW = _private("READER_LOW", "Lower end of the 95 % interval of another reader")
READER_HIGH = _private("READER_HIGH", "Upper end of the 95 % interval of another reader")

# -- units, UCUM --
MILLILITRE = Code("ml", "UCUM", "milliliter")
MILLIMETRE: Code = codes.UCUM.Millimeter
SQUARE_MILLIMETRE: Code = codes.UCUM.SquareMillimeter
PER_MILLIMETRE = Code("/mm", "UCUM", "per millimeter")
GRAM = Code("g", "UCUM", "gram")
HOUNSFIELD_UNIT: Code = codes.UCUM.HounsfieldUnit
LESIONS = Code("{lesions}", "UCUM", "lesions")
PERCENT: Code = codes.UCUM.Percent
NO_UNITS: Code = codes.UCUM.NoUnits

# -- outcome of the analysis (PS3.16 CID 6042, CID 6047, CID 230, CID 240) --
FINDINGS_SUMMARY: Code = codes.DCM.CADProcessingAndFindingsSummary
WITHOUT_FINDINGS: Code = codes.DCM.AllAlgorithmsSucceededWithoutFindings
WITH_FINDINGS: Code = codes.DCM.AllAlgorithmsSucceededWithFindings
INCOMPLETE_WITHOUT_FINDINGS: Code = codes.DCM.NotAllAlgorithmsSucceededWithoutFindings
INCOMPLETE_WITH_FINDINGS: Code = codes.DCM.NotAllAlgorithmsSucceededWithFindings
SUMMARY_OF_ANALYSES: Code = codes.DCM.SummaryOfAnalyses
NOT_ATTEMPTED: Code = codes.DCM.NotAttempted
PRESENT: Code = codes.SCT.Present
ABSENT: Code = codes.SCT.Absent
YES: Code = codes.SCT.Yes
NO: Code = codes.SCT.No

RESAMPLED = _private("RESAMPLED", "Images resampled to an even stack")
RESAMPLING = _private("RESAMPLING", "How the images were resampled")

# -- the document and its author --
MEASUREMENT_REPORT: Code = codes.DCM.ImagingMeasurementReport
ONCOLOGY_REPORT: Code = codes.DCM.OncologyMeasurementReport
CT_PROCEDURE: Code = codes.LN.CTUnspecifiedBodyRegion
COMMENT: Code = codes.DCM.Comment
DEVICE: Code = codes.DCM.Device
ARTIFICIAL_INTELLIGENCE: Code = codes.DCM.ArtificialIntelligence
PROCESSING_EQUIPMENT: Code = codes.DCM.ProcessingEquipment

LARGEST_NODULE_MM = 30.0


def lesion_type(long_axis_mm: float) -> Code:
    """Return Nodule for a long axis under 30 mm, else Neoplasm."""
    # Fleischner Society glossary (Hansell et al., Radiology 2008;246:697): a nodule measures up to 3 cm, a mass more.
    return NODULE if long_axis_mm < LARGEST_NODULE_MM else NEOPLASM
