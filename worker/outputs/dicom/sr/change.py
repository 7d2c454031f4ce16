"""Content of the SR on one lesion over time: its state, event and change."""

from __future__ import annotations

from collections.abc import Iterable

import highdicom as hd
from pydicom.sr.coding import Code

from worker.codes import follow_up as codes
from worker.findings import Finding
from worker.follow_up.change import Change, Difference
from worker.follow_up.comparison import ImageReference, LesionTimeline
from worker.follow_up.guidelines import GuidelineStatement
from worker.follow_up.matching import Event
from worker.outputs.dicom.sr.items import evaluation, measurement, text, uid_reference, yes_no
from worker.outputs.quantities_over_time import size_quantities, timeline_quantities


def timeline_measurements(timeline: LesionTimeline) -> list[hd.sr.Measurement]:
    """Return the measurements of a lesion over time."""
    return [measurement(quantity) for quantity in timeline_quantities(timeline)]


def size_measurements(finding: Finding) -> list[hd.sr.Measurement]:
    """Return slice count and noise, from which a later comparison derives the uncertainty of the sizes."""
    return [measurement(quantity) for quantity in size_quantities(finding.sizes)]


def timeline_evaluations(timeline: LesionTimeline) -> list[hd.sr.QualitativeEvaluation]:
    """Return the coded evaluations of a lesion over time: state, event, change."""
    return [
        evaluation(codes.STATE, codes.STATES[timeline.now.state]),
        *([evaluation(codes.EVENT, codes.EVENTS[timeline.event])] if timeline.event else []),
        *(_change_evaluations(timeline.change) if timeline.change else ()),
    ]


def timeline_items(timeline: LesionTimeline) -> list[hd.sr.ContentItem]:
    """Return related lesions, prior image and texts of a lesion; TID 1501 and 1411 are extensible."""
    related = (
        (codes.POSSIBLE_MATCH, timeline.possible_match),
        (codes.MERGED_INTO, timeline.merged_into),
        # Only at the first scan after the split: there RECIST counts the lesion as a part.
        (codes.SPLIT_FROM, timeline.split_from if timeline.event is Event.SPLIT else None),
    )
    return [
        *(uid_reference(name, uid) for name, uid in related if uid is not None),
        *([_prior_image(timeline.prior_image)] if timeline.prior_image else []),
        *(_texts(timeline.change) if timeline.change else ()),
    ]


def _prior_image(image: ImageReference) -> hd.sr.ImageContentItem:
    return hd.sr.ImageContentItem(
        name=codes.PRIOR_IMAGE,
        referenced_sop_class_uid=image.frame.sop_class_uid,
        referenced_sop_instance_uid=image.frame.sop_instance_uid,
        referenced_frame_numbers=image.frame.number,
        relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
    )


def _change_evaluations(change: Change) -> Iterable[hd.sr.QualitativeEvaluation]:
    for name, difference in (
        (codes.VOLUME_REAL, change.volume_ml),
        (codes.LONG_REAL, change.long_axis_mm),
        (codes.SHORT_REAL, change.short_axis_mm),
    ):
        yield from _beyond_chance(name, difference)
    yield from (evaluation(codes.CONDITION, codes.CONDITIONS[condition]) for condition in change.conditions)
    yield from (_guideline(statement) for statement in change.statements)
    classes = dict.fromkeys(
        statement.doubling_time_class for statement in change.statements if statement.doubling_time_class
    )
    yield from (
        evaluation(codes.DOUBLING_TIME_CLASS, codes.DOUBLING_TIME_CLASSES[doubling_time_class])
        for doubling_time_class in classes
    )


def _beyond_chance(name: Code, difference: Difference) -> Iterable[hd.sr.QualitativeEvaluation]:
    if difference.is_beyond_chance is not None:
        yield yes_no(name, difference.is_beyond_chance)


def _guideline(statement: GuidelineStatement) -> hd.sr.QualitativeEvaluation:
    name = codes.GUIDELINES[statement.guideline]
    if statement.is_met is None:
        return evaluation(name, codes.RULE_NOT_APPLICABLE)
    return yes_no(name, statement.is_met)


def _texts(change: Change) -> Iterable[hd.sr.ContentItem]:
    if change.growth is not None:
        yield text(codes.DOUBLING_TEXT, change.growth.doubling_time.text)
    for statement in change.statements:
        guideline = statement.guideline
        yield text(
            codes.GUIDELINE_BASIS,
            f"{guideline.title} ({guideline.source}), made for {guideline.scope}: {statement.text}",
        )
