"""Finds the same patient, series or image in two places, by name and by SHA-256: a split by patient must not leak."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from training.data.file_hashes import FileHashPlan
from training.data.splits import COLLECTIONS, collection_of


def duplicates(plans: Sequence[FileHashPlan]) -> list[str]:
    """Return who stands in two places, and what is there twice."""
    names = Counter((plan.case.name, plan.case.source) for plan in plans)
    facts = [f"{name} of {source} is there {n} times, once is needed" for (name, source), n in names.items() if n > 1]
    owners: dict[tuple[str, str], set[str]] = defaultdict(set)
    for plan in plans:
        for key in _keys(plan):
            owners[key].add(_owner(plan))
    for (what, _), several in owners.items():
        if len(several) > 1:
            facts.append(f"{' and '.join(sorted(several))} have one {what}: a patient must stand in one place")
    return facts + _same_collection(plans)


def _keys(plan: FileHashPlan) -> Iterator[tuple[str, str]]:
    yield "name", plan.case.patient
    yield from plan.case.keys
    if plan.case.image:
        yield "image", plan.hashes[plan.case.image]


def _owner(plan: FileHashPlan) -> str:
    """Name a patient with the source, but where sources of one collection share its patients: with the collection."""
    collection = collection_of(plan.case.source)
    return f"{plan.case.patient} of {collection if collection in COLLECTIONS.values() else plan.source}"


def _same_collection(plans: Sequence[FileHashPlan]) -> list[str]:
    """MSD's slices name their patients in another way than MSD does: who is who cannot be told."""
    layouts = {plan.case.recipe.split()[0]: plan.source for plan in plans if plan.case.source == "msd"}
    if len(layouts) < 2:
        return []
    return [f"{' and '.join(sorted(layouts.values()))} name the patients of MSD differently: give one of them"]
