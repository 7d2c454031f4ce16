from __future__ import annotations

import uuid

import pytest
from pydicom.uid import UID

from worker.uids import derived_uid

KEY = "a" * 64


def test_the_same_job_and_role_have_the_same_uid() -> None:
    assert derived_uid(KEY, "lesion", "1") == derived_uid(KEY, "lesion", "1")


def test_a_uid_is_unchanged_since_the_first_release() -> None:
    assert derived_uid(KEY, "seg", "instance") == "2.25.324622948595110262800382269786144091489"


def test_a_different_job_role_or_number_has_a_different_uid() -> None:
    uids = {
        derived_uid(KEY, "lesion", "1"),
        derived_uid(KEY, "lesion", "2"),
        derived_uid(KEY, "lesion1"),
        derived_uid(KEY, "seg"),
        derived_uid("b" * 64, "lesion", "1"),
    }

    assert len(uids) == 5


def test_a_thousand_uids_are_valid_and_have_the_version_and_variant_of_rfc_4122() -> None:
    uids = [derived_uid(KEY, "lesion", str(number)) for number in range(1000)]

    assert all(UID(uid).is_valid and len(uid) <= 44 for uid in uids)
    parsed = [uuid.UUID(int=int(uid.removeprefix("2.25."))) for uid in uids]
    assert {(each.version, each.variant) for each in parsed} == {(5, uuid.RFC_4122)}
    assert len(set(uids)) == 1000


def test_a_uid_without_a_role_is_rejected() -> None:
    with pytest.raises(ValueError, match="needs a role"):
        derived_uid(KEY)


def test_a_line_break_in_a_role_is_rejected() -> None:
    with pytest.raises(ValueError, match="line break"):
        derived_uid(KEY, "seg\ninstance")
