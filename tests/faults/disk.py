"""The disk of a site: a small ext4 file system of its own, which can be full, read-only and frozen.

The caller is in a mount namespace of its own, so that nothing stays mounted when it ends, however it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

_SIZE = "64M"
_CLONE_NEWNS = 0x00020000
_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878  # linux/fs.h
_CHUNKS = (1 << 20, 1 << 12)
_LIBC = ctypes.CDLL(None, use_errno=True)


def can_mount() -> bool:
    """Whether this process may mount file systems: it is root, and not in a container without that right."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None or not Path("/dev/loop-control").exists():
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


def leave_mount_namespace() -> None:
    """Give this process, and those it starts, a mount namespace of their own."""
    if _LIBC.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _run("mount", "--make-rprivate", "/")


@dataclass(slots=True, kw_only=True)
class Disk:
    """The folder of a site's data; a file system of its own if it is mounted."""

    folder: Path
    is_mounted: bool
    _read_only: list[Path] = field(default_factory=list)
    _is_frozen: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def make(self, image: Path) -> None:
        """Create the folder and, if it is to be one, the file system in a file `image`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.is_mounted:
            with image.open("wb") as file:
                file.truncate(int(_SIZE.removesuffix("M")) << 20)
            _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
            _run("mount", "-o", "loop", str(image), str(self.folder))
            self.folder.chmod(0o700)

    def remove(self) -> None:
        """Unmount the file system."""
        self.heal()
        if self.is_mounted:
            _run("umount", "-l", str(self.folder))

    def fill(self) -> None:
        """Write until there is no space left."""
        with (self.folder / "filler").open("ab", buffering=0) as file:
            for size in _CHUNKS:
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def set_read_only(self, folder: str) -> None:
        """Make what is reached by the path of a folder read-only; a file that is open stays writable."""
        path = (self.folder / folder).resolve()
        if path.is_dir():
            _run("mount", "--bind", str(path), str(path))
            _run("mount", "-o", "remount,ro,bind", str(path))
            self._read_only.append(path)

    def freeze(self, for_s: float) -> None:
        """Have every writer wait, as for a snapshot or a storage network that is away.

        It ends by itself: who waits for a process meanwhile, that waits for the disk, could not end it.
        """
        with self._lock:
            if self._is_frozen:
                return
            self._control(_FIFREEZE)
            self._is_frozen = True
        timer = threading.Timer(for_s, self._thaw)
        timer.daemon = True
        timer.start()

    def heal(self) -> None:
        """End all faults of the disk."""
        self._thaw()
        while self._read_only:
            _run("umount", "-l", str(self._read_only.pop()))
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "filler").unlink()

    def _thaw(self) -> None:
        with self._lock:
            if self._is_frozen:
                self._control(_FITHAW)
                self._is_frozen = False

    def _control(self, request: int) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, request, 0)
        finally:
            os.close(descriptor)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)
