"""Which region of the body a description names, in the languages that scanners are set to."""

from __future__ import annotations

import re

_CHEST = re.compile(r"chest|thora|lung|pulmo|poumon|t[oó]rax|pecho|trunk|whole.?body|\bCAP\b|\bTAP\b", re.IGNORECASE)
_OTHER_REGION = re.compile(
    r"head|brain|skull|neck|sinus|temporal|abdom|pelvi|liver|kidney|renal|spine|lumb|cervic|sacr|knee|foot|ankle|hip\b"
    r"|hand|wrist|elbow|shoulder|leg\b|extremit|femur|sch[aä]del|kopf|hals|bauch|becken|knie|t[eê]te|crane|rachis|cabeza",
    re.IGNORECASE,
)


def shows_other_region(text: str) -> bool:
    """Whether a description names a region of the body, and not the chest; an empty one excludes nothing."""
    return bool(_OTHER_REGION.search(text)) and not _CHEST.search(text)
