from __future__ import annotations

import uuid

import pytest
from pydicom.uid import UID

from worker.uids import derived_uid

KEY = "a" * 64


def test_the_same_job_and_role_repeat_their_uid() -> None:
    assert derived_uid(KEY, "lesion", "1") == derived_uid(KEY, "lesion", "1")


def test_a_uid_is_what_it_was_in_the_first_release() -> None:
    assert derived_uid(KEY, "seg", "instance") == "2.25.324622948595110262800382269786144091489"


def test_another_job_role_or_number_has_another_uid() -> None:
    uids = {
        derived_uid(KEY, "lesion", "1"),
        derived_uid(KEY, "lesion", "2"),
        derived_uid(KEY, "lesion1"),
        derived_uid(KEY, "seg"),
        derived_uid("b" * 64, "lesion", "1"),
    }

    assert len(uids) == 5


def test_a_thousand_uids_are_valid_and_carry_the_version_and_variant_of_rfc_4122() -> None:
    uids = [derived_uid(KEY, "lesion", str(number)) for number in range(1000)]

    assert all(UID(uid).is_valid and len(uid) <= 44 for uid in uids)
    parsed = [uuid.UUID(int=int(uid.removeprefix("2.25."))) for uid in uids]
    assert {(each.version, each.variant) for each in parsed} == {(5, uuid.RFC_4122)}
    assert len(set(uids)) == 1000


def test_a_uid_without_a_role_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a role"):
        derived_uid(KEY)


def test_a_line_break_cannot_make_two_roles_look_alike() -> None:
    with pytest.raises(ValueError, match="line break"):
        derived_uid(KEY, "seg\ninstance")
