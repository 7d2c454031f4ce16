"""Table of the standard codes of the documents."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code

from tests.conformance.markdown import table
from worker.codes import follow_up, lesions

CONTEXT_GROUPS = (
    218, 225, 230, 240, 244, 280, 6042, 6047, 6144, 6145, 6146, 6147, 6170, 7021, 7150, 7159, 7162, 7464, 7469, 7470,
    7471, 7472, 7477,
)  # fmt: skip
"""The context groups of PS3.16 that templates of TID 1500 and the SEG name."""


def own_codes() -> Iterator[Code]:
    """Yield all codes of worker.codes, each once."""
    seen: set[tuple[str, str]] = set()
    for value in (*vars(lesions).values(), *vars(follow_up).values()):
        for code in value.values() if isinstance(value, dict) else (value,):
            if isinstance(code, Code) and (code.scheme_designator, code.value) not in seen:
                seen.add((code.scheme_designator, code.value))
                yield code


def standard_codes() -> str:
    """Return the codes of public schemes, and the context groups of PS3.16 that have them."""
    rows = [
        [code.scheme_designator, code.value, code.meaning, ", ".join(_groups_of(code))]
        for code in own_codes()
        if code.scheme_designator != lesions.PRIVATE_SCHEME
    ]
    groups = ", ".join(map(str, CONTEXT_GROUPS))
    looked_at = f"Context groups: those of CID {groups} in which pydicom's dictionary of PS3.16 has the code."
    return f"{looked_at}\n\n{table(['scheme', 'code value', 'code meaning', 'context groups'], sorted(rows))}"


def _groups_of(code: Code) -> Iterator[str]:
    for number in CONTEXT_GROUPS:
        if code in getattr(dictionary, f"cid{number}").concepts.values():
            yield f"CID {number}"
