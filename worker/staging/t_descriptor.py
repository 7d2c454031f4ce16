"""Proposal of the imaging T descriptor of TNM 9, with its basis. N is not proposed, M only as M1a by separate nodules.

* The primary is the lesion with the most advanced T by size (worker/staging/t_size.py), the largest among equals.
* Separate nodules: in its lobe T3, in another lobe of its side T4, in the other lung M1a: TNM 9th edition, Van Schil et
  al., J Thorac Oncol 2024;19:749; Detterbeck et al., CHEST 2024;166:882. Every clause says "if it is tumour", because a
  mask does not prove it.
* That rule applies to nodules of solid appearance; ground-glass and part-solid nodules beside a tumour are rather
  separate primaries: Detterbeck et al., J Thorac Oncol 2016;11:639. They are listed but not counted.
* All lesions ground-glass or part-solid: one T, that of the most advanced, with the number of lesions, e.g. T1b(3),
  in any lobe; ground-glass below 5 mm is not counted: Detterbeck et al., J Thorac Oncol 2016;11:666.
* In doubt the less advanced category: UICC, TNM Classification of Malignant Tumours, general rule 4. An uncertain lobe
  is taken as the same lobe; a nodule of unknown location is not counted, nor is one below 4 mm, the smallest size that
  the NLST called positive (N Engl J Med 2011;365:395).
* Contact is not invasion: it is reported in a clause and never raises T. Visceral pleural invasion is not assessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from worker.lesions.density import Consistency
from worker.lesions.lesion import Lesion
from worker.lesions.location import LesionLocation
from worker.lesions.measure import Measurement
from worker.lesions.uncertainty import Uncertainty
from worker.staging.t_size import CATEGORIES, SizeOfT, t_by_size, whole_mm

SMALLEST_NODULE_MM = 4
SMALLEST_GROUND_GLASS_MM = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TProposal:
    """A proposed T descriptor, e.g. `T2b`, with its basis: one clause per rule that applied.

    descriptor: Tis, T1mi, T1a to T4; with the number of lesions if multifocal: `T1b(3)`.
    m1a: True if a separate nodule lies in the other lung.
    """

    descriptor: str
    basis: tuple[str, ...]
    m1a: bool


class LocatedLesion(Protocol):
    """The attributes of a finding that staging and extent require."""

    @property
    def lesion(self) -> Lesion:
        """The lesion, for its number and centroid."""

    @property
    def measurement(self) -> Measurement:
        """Size and density."""

    @property
    def uncertainty(self) -> Uncertainty:
        """95 % intervals of the size."""

    @property
    def location(self) -> LesionLocation | None:
        """Location in the lungs; None if the lungs were not found."""


class Relation(Enum):
    """Relation of a lesion to the primary, with the category it causes (empty if not counted) and its clause."""

    SAME_LOBE = ("T3", "{nodules} in the same lobe ({which}): T3 if {it_is} tumour")
    OTHER_LOBE = ("T4", "{nodules} in another lobe of the same side ({which}): T4 if {it_is} tumour")
    UNSURE_LOBE = (
        "T3",
        "{nodules} on the same side ({which}): T3 or T4 if {it_is} tumour, the lobe is not sure; the lower is proposed",
    )
    OTHER_LUNG = ("M1a", "{nodules} in the other lung ({which}): M1a if {it_is} tumour")
    UNKNOWN = ("", "{nodules} at an unknown place ({which}): T3, T4 or M1a if {it_is} tumour; not counted")
    SUBSOLID = ("", "ground-glass or part-solid besides ({which}): rather a primary of its own; not counted")
    TINY = ("", f"{{nodules}} below {SMALLEST_NODULE_MM} mm ({{which}}): too small to say; not counted")

    def __init__(self, category: str, text: str) -> None:
        self.category = category
        self.text = text

    def clause(self, numbers: Sequence[int]) -> str:
        """Return the clause for the lesions with these numbers."""
        is_plural = len(numbers) > 1
        return self.text.format(
            nodules="separate nodules" if is_plural else "separate nodule",
            which=_lesion_list(numbers),
            it_is="they are" if is_plural else "it is",
        )


def _lesion_list(numbers: Sequence[int]) -> str:
    return f"lesion{'s' if len(numbers) > 1 else ''} {', '.join(map(str, sorted(numbers)))}"


def propose_t(findings: Sequence[LocatedLesion]) -> TProposal | None:
    """Return the proposed T descriptor for all lesions of one scan; None without a lesion."""
    if not findings:
        return None
    primary = max(findings, key=_how_advanced)
    others = [finding for finding in findings if finding is not primary]
    if others and all(map(_is_subsolid, findings)):
        return _multifocal(primary, others)
    return _with_separate_nodules(primary, others)


def _how_advanced(finding: LocatedLesion) -> tuple[int, int, float, int]:
    size = _size(finding)
    return size.rank, size.counted_mm, finding.measurement.long_axis.length_mm, -finding.lesion.number


def _size(finding: LocatedLesion) -> SizeOfT:
    return t_by_size(finding.measurement, finding.uncertainty)


def _is_subsolid(finding: LocatedLesion) -> bool:
    return finding.measurement.density.consistency is not Consistency.SOLID


def _multifocal(primary: LocatedLesion, others: Sequence[LocatedLesion]) -> TProposal:
    tiny = [other.lesion.number for other in others if _is_tiny_ground_glass(other)]
    count = 1 + len(others) - len(tiny)
    category = _size(primary).category
    descriptor = f"{category}({count})" if count > 1 else category
    basis = list(_primary_clauses(primary, is_alone=False))
    if count > 1:
        basis.append(f"{count} lesions, all ground-glass or part-solid: {descriptor}, by the most advanced of them")
    if tiny:
        basis.append(f"ground-glass below {SMALLEST_GROUND_GLASS_MM} mm ({_lesion_list(tiny)}): not counted")
    return TProposal(descriptor=descriptor, basis=tuple(basis), m1a=False)


def _is_tiny_ground_glass(finding: LocatedLesion) -> bool:
    size = whole_mm(finding.measurement.long_axis.length_mm)
    is_ground_glass = finding.measurement.density.consistency is Consistency.GROUND_GLASS
    return is_ground_glass and size < SMALLEST_GROUND_GLASS_MM


def _with_separate_nodules(primary: LocatedLesion, others: Sequence[LocatedLesion]) -> TProposal:
    numbers: dict[Relation, list[int]] = {}
    for other in others:
        numbers.setdefault(_relation(primary, other), []).append(other.lesion.number)
    relations = [relation for relation in Relation if relation in numbers]
    categories = [_size(primary).category, *(relation.category for relation in relations)]
    return TProposal(
        descriptor=max((category for category in categories if category in CATEGORIES), key=CATEGORIES.index),
        basis=(
            *_primary_clauses(primary, is_alone=not others),
            *(relation.clause(numbers[relation]) for relation in relations),
        ),
        m1a=Relation.OTHER_LUNG in relations,
    )


def _relation(primary: LocatedLesion, other: LocatedLesion) -> Relation:
    if _is_subsolid(other):
        return Relation.SUBSOLID
    if whole_mm(other.measurement.long_axis.length_mm) < SMALLEST_NODULE_MM:
        return Relation.TINY
    if primary.location is None or other.location is None:
        return Relation.UNKNOWN
    return _relation_of_locations(primary.location, other.location)


def _relation_of_locations(primary: LesionLocation, other: LesionLocation) -> Relation:
    if primary.lobe.is_right != other.lobe.is_right:
        return Relation.OTHER_LUNG
    if not (primary.is_lobe_sure and other.is_lobe_sure):
        return Relation.UNSURE_LOBE
    return Relation.SAME_LOBE if primary.lobe is other.lobe else Relation.OTHER_LOBE


def _primary_clauses(primary: LocatedLesion, *, is_alone: bool) -> Iterator[str]:
    first, *doubts = _size(primary).basis
    yield first if is_alone else f"lesion {primary.lesion.number}, {first}"
    yield from doubts
    if primary.location is None:
        yield "place in the lungs not known: by size alone"
        return
    if primary.location.touches_wall:
        yield "touches the chest wall or diaphragm: contact is no invasion, T is not raised"
    if primary.location.touches_mediastinum:
        yield "touches the mediastinum: contact is no invasion, T is not raised"
