from __future__ import annotations

import pytest

from models.lungs.lungs import Lobe
from tests.fixtures.worker.make_findings import GROUND_GLASS, SOLID, finding, in_lobe, part_solid
from worker.findings import Finding
from worker.lesions.location import LesionLocation
from worker.staging.t_descriptor import TProposal, propose_t

VAN_SCHIL_2024 = "TNM 9th edition, separate nodules: Van Schil et al., J Thorac Oncol 2024;19:749"
DETTERBECK_2016 = "multifocal ground-glass: Detterbeck et al., J Thorac Oncol 2016;11:666"
FOUR_PATTERNS = "separate nodules are of solid appearance: Detterbeck et al., J Thorac Oncol 2016;11:639"
RULE_4 = "in doubt the lower category: UICC TNM, general rule 4"
NLST = "smallest positive nodule 4 mm: N Engl J Med 2011;365:395"

UPPER = in_lobe(Lobe.RIGHT_UPPER)
LOWER = in_lobe(Lobe.RIGHT_LOWER)
OTHER_LUNG = in_lobe(Lobe.LEFT_UPPER)


def solid(number: int, long_axis_mm: float, place: LesionLocation | None = UPPER) -> Finding:
    return finding(number, long_axis_mm, place, SOLID)


def ground_glass(number: int, long_axis_mm: float, place: LesionLocation | None = UPPER) -> Finding:
    return finding(number, long_axis_mm, place, GROUND_GLASS)


def proposed(*findings: Finding) -> TProposal:
    proposal = propose_t(findings)
    assert proposal is not None
    return proposal


def test_without_a_lesion_nothing_is_proposed() -> None:
    assert propose_t([]) is None


def test_one_lesion_is_staged_by_size_alone() -> None:
    assert proposed(solid(1, 48)) == TProposal(descriptor="T2b", basis=("48 mm: T2b by size",), m1a=False)


@pytest.mark.parametrize(
    ("place", "descriptor", "m1a", "clause"),
    [
        (UPPER, "T3", False, "separate nodule in the same lobe (lesion 2): T3 if it is tumour"),
        (LOWER, "T4", False, "separate nodule in another lobe of the same side (lesion 2): T4 if it is tumour"),
        (OTHER_LUNG, "T2b", True, "separate nodule in the other lung (lesion 2): M1a if it is tumour"),
    ],
)
def test_a_separate_nodule_counts_by_its_location(
    place: LesionLocation, descriptor: str, m1a: bool, clause: str
) -> None:
    proposal = proposed(solid(1, 48), solid(2, 12, place))

    assert (proposal.descriptor, proposal.m1a) == (descriptor, m1a), VAN_SCHIL_2024
    assert proposal.basis == ("lesion 1, 48 mm: T2b by size", clause)


@pytest.mark.parametrize("lobe", list(Lobe))
@pytest.mark.parametrize("other", list(Lobe))
def test_every_pair_of_lobes_has_its_category(lobe: Lobe, other: Lobe) -> None:
    right, left = {1, 2, 3}, {4, 5}
    same_side = {lobe, other} <= right or {lobe, other} <= left

    proposal = proposed(solid(1, 15, in_lobe(lobe)), solid(2, 8, in_lobe(other)))

    expected = "T3" if lobe == other else "T4" if same_side else "T1b"
    assert (proposal.descriptor, proposal.m1a) == (expected, not same_side), VAN_SCHIL_2024


def test_nodules_of_one_relation_share_a_clause_and_the_most_advanced_decides() -> None:
    proposal = proposed(
        solid(1, 15), solid(2, 9), solid(3, 8, LOWER), solid(4, 7, OTHER_LUNG), solid(5, 6), solid(6, 5, OTHER_LUNG)
    )

    assert (proposal.descriptor, proposal.m1a) == ("T4", True), VAN_SCHIL_2024
    assert proposal.basis == (
        "lesion 1, 15 mm: T1b by size",
        "separate nodules in the same lobe (lesions 2, 5): T3 if they are tumour",
        "separate nodule in another lobe of the same side (lesion 3): T4 if it is tumour",
        "separate nodules in the other lung (lesions 4, 6): M1a if they are tumour",
    )


def test_a_nodule_never_lowers_the_category_by_size() -> None:
    assert proposed(solid(1, 75), solid(2, 9)).descriptor == "T4", VAN_SCHIL_2024


def test_the_primary_is_the_most_advanced_by_its_solid_part() -> None:
    # Lesion 1 is longer, but its solid part is T1a; lesion 2 is T1b, and the place of lesion 1 does not count.
    proposal = proposed(finding(1, 40, LOWER, part_solid(8)), solid(2, 18))

    assert proposal.descriptor == "T1b", FOUR_PATTERNS
    assert proposal.basis[0] == "lesion 2, 18 mm: T1b by size"


def test_within_a_category_the_longest_is_the_primary_in_any_order() -> None:
    findings = (solid(1, 12, OTHER_LUNG), solid(2, 18, UPPER), solid(3, 15, UPPER))

    assert proposed(*findings).basis[0] == "lesion 2, 18 mm: T1b by size"
    assert proposed(*findings) == proposed(*reversed(findings))


@pytest.mark.parametrize(
    ("primary", "other"),
    [
        (UPPER, in_lobe(Lobe.RIGHT_LOWER, sure=False)),
        (in_lobe(Lobe.RIGHT_UPPER, sure=False), LOWER),
        (in_lobe(Lobe.RIGHT_UPPER, sure=False), UPPER),
    ],
)
def test_for_an_uncertain_lobe_the_lower_category_is_proposed_with_a_clause(
    primary: LesionLocation, other: LesionLocation
) -> None:
    proposal = proposed(solid(1, 48, primary), solid(2, 12, other))

    assert proposal.descriptor == "T3", RULE_4
    assert proposal.basis[1] == (
        "separate nodule on the same side (lesion 2): T3 or T4 if it is tumour, the lobe is not sure; "
        "the lower is proposed"
    )


def test_an_uncertain_lobe_does_not_affect_the_other_lung() -> None:
    proposal = proposed(solid(1, 48, in_lobe(Lobe.RIGHT_UPPER, sure=False)), solid(2, 12, OTHER_LUNG))

    assert (proposal.descriptor, proposal.m1a) == ("T2b", True), VAN_SCHIL_2024


def test_a_nodule_with_a_certain_lobe_counts_beside_an_uncertain_one() -> None:
    proposal = proposed(solid(1, 48), solid(2, 12, in_lobe(Lobe.RIGHT_LOWER, sure=False)), solid(3, 9, LOWER))

    assert proposal.descriptor == "T4", VAN_SCHIL_2024


@pytest.mark.parametrize(("size_mm", "descriptor"), [(3.4, "T2b"), (3.5, "T3"), (4.0, "T3")])
def test_a_nodule_below_4_mm_is_listed_but_not_counted(size_mm: float, descriptor: str) -> None:
    proposal = proposed(solid(1, 48), solid(2, size_mm))

    assert proposal.descriptor == descriptor, NLST
    is_tiny = proposal.basis[1] == "separate nodule below 4 mm (lesion 2): too small to say; not counted"
    assert is_tiny == (descriptor == "T2b")


def test_ground_glass_beside_a_solid_tumour_is_not_a_separate_nodule() -> None:
    proposal = proposed(solid(1, 25), ground_glass(2, 14, OTHER_LUNG), finding(3, 16, LOWER, part_solid(8)))

    assert (proposal.descriptor, proposal.m1a) == ("T1c", False), FOUR_PATTERNS
    assert proposal.basis[1:] == (
        "ground-glass or part-solid besides (lesions 2, 3): rather a primary of its own; not counted",
    )


def test_a_solid_nodule_counts_beside_a_part_solid_primary() -> None:
    proposal = proposed(finding(1, 40, UPPER, part_solid(25)), solid(2, 9, LOWER))

    assert proposal.descriptor == "T4", VAN_SCHIL_2024


def test_multifocal_ground_glass_is_one_t_with_the_number_of_lesions_in_any_lobe() -> None:
    proposal = proposed(
        finding(1, 25, UPPER, part_solid(12)), ground_glass(2, 20, OTHER_LUNG), finding(3, 9, LOWER, part_solid(4))
    )

    assert proposal == TProposal(
        descriptor="T1b(3)",
        basis=(
            "lesion 1, 25 mm, part-solid with a solid part of 12 mm: T1b by size",
            "3 lesions, all ground-glass or part-solid: T1b(3), by the most advanced of them",
        ),
        m1a=False,
    ), DETTERBECK_2016


def test_the_most_advanced_ground_glass_lesion_need_not_be_the_longest() -> None:
    proposal = proposed(ground_glass(1, 28), finding(2, 12, LOWER, part_solid(7)))

    assert proposal.descriptor == "T1a(2)", DETTERBECK_2016
    assert proposal.basis[0].startswith("lesion 2, 12 mm")


def test_the_primary_is_chosen_by_category_before_solid_size() -> None:
    # Ground-glass of 35 mm is T1a without a solid part; 20 mm with a solid part of 4 mm is T1mi.
    proposal = proposed(finding(1, 20, UPPER, part_solid(4)), ground_glass(2, 35))

    assert proposal.descriptor == "T1a(2)", DETTERBECK_2016
    assert proposal.basis[0].startswith("lesion 2, 35 mm")


def test_within_a_category_the_primary_is_chosen_by_solid_part_before_length() -> None:
    proposal = proposed(finding(1, 40, UPPER, part_solid(12)), finding(2, 25, LOWER, part_solid(18)))

    assert proposal.basis[0].startswith("lesion 2, 25 mm")


def test_of_two_equal_lesions_the_first_number_is_the_primary_in_any_order() -> None:
    assert proposed(solid(2, 18, LOWER), solid(1, 18)).basis[0].startswith("lesion 1, ")
    assert proposed(solid(1, 18), solid(2, 18, LOWER)).basis[0].startswith("lesion 1, ")


def test_two_pure_ground_glass_lesions_are_in_situ() -> None:
    assert proposed(ground_glass(1, 18), ground_glass(2, 9, LOWER)).descriptor == "Tis(2)", DETTERBECK_2016


@pytest.mark.parametrize(("size_mm", "descriptor"), [(4.4, "Tis"), (4.5, "Tis(2)"), (5.0, "Tis(2)")])
def test_ground_glass_below_5_mm_does_not_make_it_multifocal(size_mm: float, descriptor: str) -> None:
    proposal = proposed(ground_glass(1, 18), ground_glass(2, size_mm))

    assert proposal.descriptor == descriptor, DETTERBECK_2016
    assert ("ground-glass below 5 mm (lesion 2): not counted" in proposal.basis) == (descriptor == "Tis")


def test_contact_with_wall_or_mediastinum_adds_a_clause_and_does_not_raise_t() -> None:
    # The 9th edition requires invasion: T3 of the parietal pleura and chest wall, T4 of mediastinum and diaphragm.
    proposal = proposed(solid(1, 25, in_lobe(Lobe.RIGHT_UPPER, touches_wall=True, touches_mediastinum=True)))

    assert proposal.descriptor == "T1c", VAN_SCHIL_2024
    assert proposal.basis[1:] == (
        "touches the chest wall or diaphragm: contact is no invasion, T is not raised",
        "touches the mediastinum: contact is no invasion, T is not raised",
    )


def test_without_lungs_a_lesion_is_staged_by_size_and_the_basis_says_so() -> None:
    proposal = proposed(solid(1, 48, None))

    assert proposal.descriptor == "T2b", RULE_4
    assert proposal.basis == ("48 mm: T2b by size", "place in the lungs not known: by size alone")


def test_without_lungs_a_separate_nodule_is_listed_but_not_counted() -> None:
    proposal = proposed(solid(1, 48, None), solid(2, 12, None))

    assert (proposal.descriptor, proposal.m1a) == ("T2b", False), RULE_4
    assert proposal.basis[-1] == (
        "separate nodule at an unknown place (lesion 2): T3, T4 or M1a if it is tumour; not counted"
    )


def test_no_clause_claims_lymph_nodes_or_more_than_m1a() -> None:
    proposal = proposed(solid(1, 75), solid(2, 9), solid(3, 9, LOWER), solid(4, 9, OTHER_LUNG), ground_glass(5, 9))

    words = {word.strip("(),:;") for clause in proposal.basis for word in clause.split()}
    assert {word for word in words if word[0] in "NM" and word[1:2].isdigit()} == {"M1a"}
