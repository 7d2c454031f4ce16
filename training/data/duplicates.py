"""Finds patients, series and images that occur twice, by name and SHA-256: a split by patient must not leak."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from training.data.file_hashes import FileHashPlan
from training.data.splits import COLLECTIONS, collection_of


def duplicates(plans: Sequence[FileHashPlan]) -> list[str]:
    """Return one line for each name, ID, series or image that occurs more than once."""
    names = Counter((plan.case.name, plan.case.source) for plan in plans)
    facts = [f"{name} of {source} is given {n} times, expected once" for (name, source), n in names.items() if n > 1]
    owners: dict[tuple[str, str], set[str]] = defaultdict(set)
    for plan in plans:
        for key in _keys(plan):
            owners[key].add(_owner(plan))
    for (what, _), several in owners.items():
        if len(several) > 1:
            facts.append(f"{' and '.join(sorted(several))} have the same {what}: a patient must be in one place")
    return facts + _same_collection(plans)


def _keys(plan: FileHashPlan) -> Iterator[tuple[str, str]]:
    yield "name", plan.case.patient
    yield from plan.case.keys
    if plan.case.image:
        yield "image", plan.hashes[plan.case.image]


def _owner(plan: FileHashPlan) -> str:
    """Return a patient's name with its source, or with the collection if several sources share its patients."""
    collection = collection_of(plan.case.source)
    return f"{plan.case.patient} of {collection if collection in COLLECTIONS.values() else plan.source}"


def _same_collection(plans: Sequence[FileHashPlan]) -> list[str]:
    """Return a problem if MSD is given in two layouts: their patient names differ and cannot be matched."""
    layouts = {plan.case.recipe.split()[0]: plan.source for plan in plans if plan.case.source == "msd"}
    if len(layouts) < 2:
        return []
    return [f"{' and '.join(sorted(layouts.values()))} name the patients of MSD differently: give only one of them"]
