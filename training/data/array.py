"""Arrays in Blosc2 files that are read slice by slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import blosc2  # type: ignore[import-untyped]
import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import ArrayLike, DTypeLike, NDArray

ONE_THREAD = {"nthreads": 1}
"""Examples are already drawn by several processes, and threads do not survive a fork."""


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array, each slice compressed as its own chunk: bit shuffle, then Zstandard."""
    packing = {"codec": blosc2.Codec.ZSTD, "clevel": 5, "filters": [blosc2.Filter.BITSHUFFLE], **ONE_THREAD}
    blosc2.asarray(
        np.ascontiguousarray(array), urlpath=str(path), mode="w", chunks=(1, *array.shape[1:]), cparams=packing
    )


class OnDisk(NDArrayOperatorsMixin):
    """A read-only array in a Blosc2 file; slices are read on access and not kept in memory.

    Indexing by an integer, a slice of step 1 or a list of integers reads only those slices; any other access reads the
    whole file and behaves as a numpy array.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = blosc2.open(str(path), mode="r", dparams=ONE_THREAD)
        self.shape: tuple[int, ...] = self._file.shape
        self.dtype: np.dtype[Any] = self._file.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the array in memory, not of its file."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - numpy's indexing
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        if isinstance(first, int | np.integer) and not isinstance(first, bool):
            return self._file[range(len(self))[int(first)]][rest]
        if isinstance(first, slice) and first.step in {None, 1}:
            return self._file[first][(slice(None), *rest)]
        if isinstance(first, list) and first and not rest and all(isinstance(k, int) for k in first):
            return np.stack([self[k] for k in first])
        return np.asarray(self)[key]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("an array on disk cannot be returned without a copy")
        return np.asarray(self._file[:], dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: ArrayLike, **options: Any) -> Any:  # noqa: ANN401
        arrays = (np.asarray(value) if isinstance(value, OnDisk) else value for value in inputs)
        return getattr(ufunc, method)(*arrays, **options)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - attributes of numpy's array: astype, any, sum ...
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)

    def __reduce__(self) -> tuple[type[OnDisk], tuple[Path]]:
        return OnDisk, (self._path,)
