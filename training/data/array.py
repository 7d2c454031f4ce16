"""Arrays in Blosc2 files that are read slice by slice."""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import blosc2  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

ONE_THREAD = {"nthreads": 1}
"""Examples are already drawn by several processes, and threads do not survive a fork."""


class Slices(Protocol):
    """A volume (slice, row, column), in memory or on disk: indexing reads slices, `np.asarray` reads all of it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of slices, rows and columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a voxel."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...  # noqa: ANN401 - numpy's indexing

    def __array__(self) -> NDArray[Any]: ...


def write_array(path: Path, array: Slices) -> None:
    """Write an array, each slice compressed as its own chunk: bit shuffle, then Zstandard."""
    packing = {"codec": blosc2.Codec.ZSTD, "clevel": 5, "filters": [blosc2.Filter.BITSHUFFLE], **ONE_THREAD}
    blosc2.asarray(
        np.ascontiguousarray(array), urlpath=str(path), mode="w", chunks=(1, *array.shape[1:]), cparams=packing
    )


def open_array(path: str) -> Slices:
    """Open a file of `write_array` as a read-only blosc2.NDArray."""
    array: Slices = blosc2.open(path, mode="r", dparams=ONE_THREAD)
    return array


def _reduced(array: blosc2.NDArray) -> tuple[Callable[[str], Slices], tuple[str]]:
    return open_array, (array.urlpath,)


# Where processes are started anew instead of forked (macOS, Windows), the loader pickles its stacks; blosc2 does not.
copyreg.pickle(blosc2.NDArray, _reduced)
