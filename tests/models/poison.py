"""Something to pickle that makes a folder when it is unpickled carelessly."""

from __future__ import annotations

import os
from pathlib import Path


class Poison:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._folder),)
