"""Codes of follow-up: time points, events, change, response.

Standard codes are preferred; dicom_node/CONFORMANCE.md defines those of the private scheme. A private code replaces a
standard code that would claim too much:

* SNOMED CT's "New finding" (129721008) means new since the previous mammogram.
* PS3.16's "Current Response" (112048) is a finding; the response here is an unconfirmed proposal.
"""

from __future__ import annotations

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from worker.codes.lesions import ABSENT, PRESENT, PRIVATE_SCHEME
from worker.follow_up.change import Condition
from worker.follow_up.comparison import ComparisonStatus, Origin
from worker.follow_up.guidelines import DoublingTimeClass, Guideline
from worker.follow_up.matching import Event
from worker.recist.response import Response
from worker.recist.rules import NonTargets
from worker.recist.timepoints import State
from worker.registration.register import Method


def _private(value: str, meaning: str) -> Code:
    return Code(value, PRIVATE_SCHEME, meaning)


# -- time points (TID 1502, CID 280, CID 6146) --
BASELINE_SCAN: Code = codes.UMLS.Baseline
BASELINE_EVENT = Code("121079", "DCM", "Baseline")
STUDY_UID: Code = codes.DCM.StudyInstanceUID
SERIES_UID: Code = codes.DCM.SeriesInstanceUID
PRIOR_REPORT: Code = codes.DCM.PriorReportForCurrentPatient
PRIOR_IMAGE = _private("PRIOR_IMAGE", "Image of the lesion at the earlier time point")
PRIOR_SCANS = _private("PRIOR_SCANS", "Number of earlier scans compared with")
SCAN_OFFSET = _private("SCAN_OFFSET", "Time from the baseline to a scan of the timeline")
ORIGIN = _private("ORIGIN", "Who outlined the time point")
ORIGINS = {
    Origin.OURS: _private("ORIGIN_OURS", "This software"),
    Origin.READER: _private("ORIGIN_READER", "A reader"),
}

# -- comparison with priors --
IS_COMPARED: Code = codes.DCM.ComparisonWithPriorStudyDone
STATEMENT = _private("PRIOR_STATEMENT", "Comparison with earlier scans")
STATEMENTS = {
    ComparisonStatus.COMPARED: _private("COMPARED", "Compared with a prior"),
    ComparisonStatus.NO_PRIOR: _private("NO_PRIOR", "No prior exists"),
    ComparisonStatus.NOT_FETCHED: _private("NOT_FETCHED", "Priors could not be fetched"),
    ComparisonStatus.NOT_COMPARABLE: _private("NOT_COMPARABLE", "Prior not comparable"),
    ComparisonStatus.NOT_QUERIED: _private("NOT_QUERIED", "Priors were not asked for"),
}
STATEMENT_REASON = _private("STATEMENT_REASON", "Reason why there is no comparison")
REGISTRATION: Code = codes.DCM.RegistrationMethod
REGISTRATIONS = {
    Method.DEFORMABLE: _private("REG_DEFORMABLE", "Lungs to lungs, deformable"),
    Method.RIGID: _private("REG_RIGID", "Lungs to lungs, rigid"),
    Method.LUNG_BOX: _private("REG_LUNG_BOX", "Boxes of the lungs alone"),
    Method.NONE: _private("REG_NONE", "Coordinates as they are"),
}
REGISTRATION_REASON = _private("REG_REASON", "Reason why the registration is no better")
SURFACE = _private("REG_SURFACE", "Mean distance of the registered lung surfaces")
SURFACE_95 = _private("REG_SURFACE_95", "95th percentile of the distance of the lung surfaces")
SMALLEST_JACOBIAN = _private("REG_JACOBIAN_LOW", "Smallest Jacobian of the deformation")
LARGEST_JACOBIAN = _private("REG_JACOBIAN_TOP", "Largest Jacobian of the deformation")

# -- a lesion over time --
STATE = _private("LESION_STATE", "What the scan shows of the lesion")
STATES = {
    State.PRESENT: PRESENT,
    State.TOO_SMALL: _private("TOO_SMALL", "Too small to measure"),
    State.VANISHED: _private("VANISHED", "Vanished"),
    State.MERGED: _private("MERGED", "Merged into another lesion"),
    State.NOT_EVALUABLE: _private("NOT_EVALUABLE", "Not evaluable"),
    State.DOUBTFUL: _private("DOUBTFUL", "Doubtful: may be a known lesion, or none"),
}
EVENT = _private("LESION_EVENT", "Event since the last time point")
EVENTS = {
    Event.SAME: _private("EVENT_SAME", "The same lesion"),
    Event.NEW: _private("EVENT_NEW", "New lesion"),
    Event.VANISHED: _private("EVENT_VANISHED", "The lesion vanished"),
    Event.MERGED: _private("EVENT_MERGED", "Several lesions merged"),
    Event.SPLIT: _private("EVENT_SPLIT", "The lesion split"),
    Event.RETURNED: _private("EVENT_RETURNED", "The lesion returned"),
}
CONFIDENCE = _private("MATCH_CONFIDENCE", "Confidence of the match with the last time point")
POSSIBLE_MATCH = _private("POSSIBLE_MATCH", "Tracking UID of the lesion that this may be")
MERGED_INTO = _private("MERGED_INTO", "Tracking UID of the lesion that it merged into")
SPLIT_FROM = _private("SPLIT_FROM", "Tracking UID of the lesion that it split from")
LAST_SEEN = _private("LAST_SEEN", "Time since a scan last showed the lesion")
SLICES_SEEN = _private("SLICES_SEEN", "Number of slices that show the lesion")
RELATIVE_NOISE = _private("RELATIVE_NOISE", "Noise as a share of the contrast to the lung")

# -- change since the last time point that showed the lesion --
INTERVAL = _private("CHANGE_INTERVAL", "Time since the scan that the lesion is compared with")
VOLUME_CHANGE = _private("VOLUME_CHANGE", "Change of volume")
VOLUME_PERCENT = _private("VOLUME_CHANGE_PC", "Relative change of volume")
LONG_CHANGE = _private("LONG_CHANGE", "Change of long axis")
LONG_PERCENT = _private("LONG_CHANGE_PC", "Relative change of long axis")
SHORT_CHANGE = _private("SHORT_CHANGE", "Change of short axis")
SHORT_PERCENT = _private("SHORT_CHANGE_PC", "Relative change of short axis")
DIAMETER_CHANGE = _private("DIAMETER_CHANGE", "Change of mean diameter")
DIAMETER_PERCENT = _private("DIAM_CHANGE_PC", "Relative change of mean diameter")
MASS_CHANGE = _private("MASS_CHANGE", "Change of mass")
MASS_PERCENT = _private("MASS_CHANGE_PC", "Relative change of mass")
PRIOR_VALUE = _private("PRIOR_VALUE", "Value at the earlier time point")
CHANCE_LOW = _private("CHANCE_LOW", "Lower limit of what may be chance")
CHANCE_HIGH = _private("CHANCE_HIGH", "Upper limit of what may be chance")
VOLUME_REAL = _private("VOLUME_REAL", "Change of volume is beyond chance")
LONG_REAL = _private("LONG_REAL", "Change of long axis is beyond chance")
SHORT_REAL = _private("SHORT_REAL", "Change of short axis is beyond chance")
CONDITION = _private("CONDITION", "Condition that limits the comparison")
CONDITIONS = {
    Condition.SLICE_THICKNESS: _private("DIFF_SLICES", "Slice thickness differs"),
    Condition.KERNEL: _private("DIFF_KERNEL", "Reconstruction kernel differs"),
    Condition.KERNEL_UNKNOWN: _private("UNKNOWN_KERNEL", "Reconstruction kernel not known for both scans"),
    Condition.CONTRAST: _private("DIFF_CONTRAST", "Contrast agent on one scan only"),
    Condition.CONTRAST_UNKNOWN: _private("UNKNOWN_CONTRAST", "Contrast agent not known for both scans"),
}

# -- growth --
GROWTH_RATE = _private("GROWTH_RATE", "Specific growth rate of the volume")
GROWTH_PER_YEAR = _private("GROWTH_PER_YEAR", "Growth of the volume per year")
DOUBLING_TIME = _private("DOUBLING_TIME", "Volume doubling time, negative: halving time")
DOUBLING_FASTEST = _private("DOUBLING_FASTEST", "Doubling time at the upper end of the growth rate")
DOUBLING_SLOWEST = _private("DOUBLING_SLOWEST", "Doubling time at the lower end of the growth rate")
DOUBLING_TEXT = _private("DOUBLING_TEXT", "Volume doubling time in words")

# -- growth by guidelines --
GUIDELINES = {
    Guideline.LUNG_RADS: _private("GROWN_LUNG_RADS", "Grown by Lung-RADS v2022"),
    Guideline.FLEISCHNER: _private("GROWN_FLEISCHNER", "Grown by Fleischner 2017"),
    Guideline.BTS: _private("GROWN_BTS", "Grown by BTS 2015"),
    Guideline.NELSON: _private("GROWN_NELSON", "Grown by NELSON"),
}
RULE_NOT_APPLICABLE = _private("RULE_SILENT", "The rule says nothing of this change")
GUIDELINE_BASIS = _private("GUIDELINE_BASIS", "Basis of a guideline's statement")
DOUBLING_TIME_CLASS = _private("DOUBLING_CLASS", "Class of the doubling time by BTS 2015 and NELSON")
DOUBLING_TIME_CLASSES = {
    DoublingTimeClass.FAST: _private("PACE_FAST", "Under 400 days"),
    DoublingTimeClass.MIDDLE: _private("PACE_MIDDLE", "400 to 600 days"),
    DoublingTimeClass.SLOW: _private("PACE_SLOW", "Over 600 days"),
}

# -- RECIST 1.1 (CID 6144, 6145, 6147), as a proposal --
RECIST: Code = codes.DCM.RECIST1Point1
TARGET: Code = codes.DCM.TargetLesionAtBaseline
NON_TARGET: Code = codes.DCM.NonTargetLesionAtBaseline
NEW_LESION = _private("RECIST_NEW", "Tracking UID of a new lesion by RECIST 1.1")
SUM_OF_DIAMETERS = _private("SUM_DIAMETERS", "Sum of diameters of the target lesions")
SUM_BASELINE = _private("SUM_BASELINE", "Sum of diameters at baseline")
SUM_NADIR = _private("SUM_NADIR", "Smallest sum of diameters before, the nadir")
SUM_COMPLETE = _private("SUM_COMPLETE", "Every target lesion was measured, or is gone")
FROM_BASELINE = _private("SUM_FROM_BASE", "Change of the sum of diameters from baseline")
FROM_NADIR = _private("SUM_FROM_NADIR", "Change of the sum of diameters from nadir")
FROM_NADIR_MM = _private("SUM_NADIR_MM", "Absolute change of the sum of diameters from nadir")
RESPONSE = _private("RECIST_PROPOSAL", "Proposed response by RECIST 1.1, not confirmed")
TARGET_RESPONSE = _private("RECIST_TARGETS", "Proposed response of the target lesions, not confirmed")
VOLUME_RESPONSE = _private("VOLUME_PROPOSAL", "Proposed response by volume, no part of RECIST, not confirmed")
RESPONSES = {
    Response.CR: _private("PROPOSED_CR", "Complete response proposed"),
    Response.PR: _private("PROPOSED_PR", "Partial response proposed"),
    Response.SD: _private("PROPOSED_SD", "Stable disease proposed"),
    Response.NON_CR_NON_PD: _private("PROPOSED_NON", "Non-complete response, non-progressive disease proposed"),
    Response.PD: _private("PROPOSED_PD", "Progressive disease proposed"),
    Response.NE: _private("PROPOSED_NE", "Not evaluable"),
}
NON_TARGETS = _private("NON_TARGETS", "Non-target lesions together")
NON_TARGET_STATES = {
    NonTargets.NONE: _private("NON_TARGETS_NONE", "No non-target lesion at baseline"),
    NonTargets.ABSENT: ABSENT,
    NonTargets.PRESENT: PRESENT,
    NonTargets.NOT_EVALUATED: _private("NON_TARGETS_PART", "Not all non-target lesions were evaluated"),
}
RECIST_BASIS = _private("RECIST_BASIS", "Arithmetic of the proposed response")
TARGET_VOLUME = _private("TARGET_VOLUME", "Sum of volumes of the target lesions")
VOLUME_FROM_BASE = _private("VOL_FROM_BASE", "Change of the targets' volume from baseline")
VOLUME_NADIR = _private("VOLUME_NADIR", "Smallest sum of volumes of the target lesions before")
VOLUME_FROM_NADIR = _private("VOL_FROM_NADIR", "Change of the targets' volume from nadir")

# -- units, UCUM --
DAY = Code("d", "UCUM", "day")
PER_YEAR = Code("/a", "UCUM", "per year")
PERCENT_PER_YEAR = Code("%/a", "UCUM", "percent per year")
SCANS = Code("{scans}", "UCUM", "scans")
SLICES = Code("{slices}", "UCUM", "slices")
