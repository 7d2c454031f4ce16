"""What the SR says of one lesion over time: its state, its event, its change. Makes no group, and draws nothing."""

from __future__ import annotations

from collections.abc import Iterable

import highdicom as hd
from pydicom.sr.coding import Code
from pydicom.uid import CTImageStorage

from models.volume import Volume
from worker.codes import follow_up as codes
from worker.findings import Finding
from worker.follow_up.change import Change, Difference
from worker.follow_up.comparison import ImageReference, LesionTimeline
from worker.follow_up.guidelines import Statement
from worker.follow_up.matching import Event
from worker.lesions.uncertainty import sizes_of
from worker.outputs.dicom.sr.items import answer, evaluation, measurement, text, uid_reference
from worker.outputs.quantities_over_time import of_course, of_sizes


def timeline_measurements(course: LesionTimeline) -> list[hd.sr.Measurement]:
    """Return the numbers of a lesion's course."""
    return [measurement(quantity) for quantity in of_course(course)]


def kept_for_later(finding: Finding, volume: Volume) -> list[hd.sr.Measurement]:
    """Return what a later comparison needs besides the sizes, so that nothing need be measured again."""
    sizes = sizes_of(finding.lesion, finding.measurement, volume)
    return [measurement(quantity) for quantity in of_sizes(sizes)]


def timeline_evaluations(course: LesionTimeline) -> list[hd.sr.QualitativeEvaluation]:
    """Return what is said of a lesion's course in codes."""
    return [
        evaluation(codes.STATE, codes.STATES[course.now.state]),
        *([evaluation(codes.EVENT, codes.EVENTS[course.event])] if course.event else []),
        *(_of_change(course.change) if course.change else ()),
    ]


def timeline_items(course: LesionTimeline) -> list[hd.sr.ContentItem]:
    """Return what is said of it in words and by the UIDs of others: TID 1501 and 1411 are extensible."""
    related = (
        (codes.POSSIBLE_MATCH, course.possible_match),
        (codes.MERGED_INTO, course.merged_into),
        # Said once, at the first scan that shows it apart: there RECIST takes it for a part.
        (codes.SPLIT_FROM, course.split_from if course.event is Event.SPLIT else None),
    )
    return [
        *(uid_reference(name, uid) for name, uid in related if uid is not None),
        *([_image(course.earlier_image)] if course.earlier_image else []),
        *(_words(course.change) if course.change else ()),
    ]


def _image(image: ImageReference) -> hd.sr.ImageContentItem:
    return hd.sr.ImageContentItem(
        name=codes.PRIOR_IMAGE,
        referenced_sop_class_uid=CTImageStorage,
        referenced_sop_instance_uid=image.sop_instance_uid,
        relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
    )


def _of_change(change: Change) -> Iterable[hd.sr.QualitativeEvaluation]:
    for name, difference in (
        (codes.VOLUME_REAL, change.volume_ml),
        (codes.LONG_REAL, change.long_axis_mm),
        (codes.SHORT_REAL, change.short_axis_mm),
    ):
        yield from _beyond_chance(name, difference)
    yield from (evaluation(codes.CONDITION, codes.CONDITIONS[condition]) for condition in change.conditions)
    yield from (_guideline(statement) for statement in change.statements)
    paces = dict.fromkeys(statement.pace for statement in change.statements if statement.pace)
    yield from (evaluation(codes.DOUBLING_TIME_CLASS, codes.PACES[pace]) for pace in paces)


def _beyond_chance(name: Code, difference: Difference) -> Iterable[hd.sr.QualitativeEvaluation]:
    if difference.is_beyond_chance is not None:
        yield answer(name, difference.is_beyond_chance)


def _guideline(statement: Statement) -> hd.sr.QualitativeEvaluation:
    name = codes.GUIDELINES[statement.guideline]
    if statement.is_met is None:
        return evaluation(name, codes.RULE_SILENT)
    return answer(name, statement.is_met)


def _words(change: Change) -> Iterable[hd.sr.ContentItem]:
    if change.growth is not None:
        yield text(codes.DOUBLING_TEXT, change.growth.doubling_time.text)
    for statement in change.statements:
        guideline = statement.guideline
        yield text(
            codes.GUIDELINE_BASIS,
            f"{guideline.title} ({guideline.source}), made for {guideline.scope}: {statement.text}",
        )
