"""Content-addressed bytes on local disk: blobs/ab/cdef... is the file whose sha256 begins with abcdef.

Write order: a temporary name, fsync, rename, fsync of the folder; the database comes after, so a row never
names a blob that is not there. What a crash leaves is a file that no row names, and `store.garbage` removes
it.
"""

import errno
import hashlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from modelyard.errors import Conflict, Corrupt, NotFound, TooLarge
from modelyard.files import link_or_copy, sha256_file, sync_folder
from modelyard.types.package import FileEntry

HEAD_BYTES = 256 << 10
"""Of a blob that is being written: kept in memory, to recognise it by before it is one."""
_DIGITS = frozenset("0123456789abcdef")


class BlobStore:
    """Blobs are read-only and never change. `temporary` lies on the same file system as `root`."""

    def __init__(self, root: Path, temporary: Path) -> None:
        self._root, self._temporary = root, temporary
        self._present = threading.Lock()  # between "it is there" and "it is removed"

    def path(self, digest: str) -> Path:
        """Where a blob stands. Raises NotFound for what is no digest, so no name leaves the folder."""
        if len(digest) != 64 or not _DIGITS.issuperset(digest):
            raise NotFound("no such blob")
        return self._root / digest[:2] / digest[2:]

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def open(self, digest: str) -> BinaryIO:
        """Raises NotFound."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError:
            raise NotFound("no such blob", came=digest) from None

    def verify(self, name: str, entry: FileEntry) -> None:
        """Read a blob through. Raises Corrupt with `name` where its bytes or its size are not what they
        were."""
        try:
            found = sha256_file(self.path(entry.sha256))
        except FileNotFoundError:
            found = "of no file"
        if found != entry.sha256:
            raise Corrupt(name, expected=entry.sha256, found=found)

    def put_bytes(self, data: bytes) -> FileEntry:
        return self.put_stream([data])

    def put_stream(self, chunks: Iterable[bytes], limit: int | None = None) -> FileEntry:
        """Keep what comes. Raises TooLarge past `limit` bytes; nothing is kept then."""
        with self.writer(limit) as writer:
            for chunk in chunks:
                writer.write(chunk)
            return writer.commit()

    def writer(self, limit: int | None = None) -> "BlobWriter":
        """For bytes that come from elsewhere; a context that removes what was not committed."""
        return BlobWriter(self, self._temporary / f"blob-{secrets.token_hex(8)}", limit)

    def put_file(
        self, path: Path, *, name: str | None = None, expected: FileEntry | None = None
    ) -> FileEntry:
        """Keep a file; the file itself stays, sharing its bytes with the blob where the file system allows.

        Nobody may hold it open for writing. Raises Corrupt with `name` where it is not what was `expected`. A
        file that is the expected blob itself, by another name, is not read again.
        """
        if expected is not None and self._is_blob(path, expected):
            return expected
        temporary = self._temporary / f"blob-{secrets.token_hex(8)}"
        link_or_copy(path, temporary)
        try:
            entry = FileEntry(sha256=sha256_file(temporary), size=temporary.stat().st_size)
            if expected is not None and entry != expected:
                raise Corrupt(name or path.name, expected=expected.sha256, found=entry.sha256)
            with temporary.open("rb") as f:
                os.fsync(f.fileno())
            self.adopt(temporary, entry.sha256)
        finally:
            temporary.unlink(missing_ok=True)
        return entry

    def adopt_file(self, path: Path, entry: FileEntry) -> None:
        """Give a file whose digest is known, and whose bytes are on the disk, a blob's place beside its own. Nobody
        may hold it open for writing."""
        temporary = self._temporary / f"blob-{secrets.token_hex(8)}"
        link_or_copy(path, temporary)
        try:
            self.adopt(temporary, entry.sha256)
        finally:
            temporary.unlink(missing_ok=True)

    def link_into(self, folder: Path, files: Mapping[str, FileEntry]) -> None:
        """Make `folder` with the files by their names, as hard links (copies where the file systems differ).

        It appears whole or not at all. Raises Conflict where a folder of this name is there, and Corrupt with
        the file's name where its blob is gone.
        """
        temporary = folder.with_name(f".tmp-{secrets.token_hex(8)}")
        temporary.mkdir(parents=True)
        try:
            for name, entry in files.items():
                target = temporary / name
                target.parent.mkdir(parents=True, exist_ok=True)
                self._lay(name, entry, target)
            _rename_folder(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        sync_folder(folder.parent)

    def _is_blob(self, path: Path, entry: FileEntry) -> bool:
        """Whether a file is the blob, as an input of a run that became its output is."""
        try:
            found, blob = path.lstat(), self.path(entry.sha256).lstat()
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == (blob.st_dev, blob.st_ino) and found.st_size == entry.size

    def _lay(self, name: str, entry: FileEntry, target: Path) -> None:
        try:
            link_or_copy(self.path(entry.sha256), target)
        except FileNotFoundError:
            raise Corrupt(name, expected=entry.sha256, found="of no file") from None

    def adopt(self, temporary: Path, digest: str) -> None:
        """Give a synced temporary file its place. The time of a blob's last arrival is its ctime."""
        path = self.path(digest)
        temporary.chmod(0o444)
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(self._root)
        with self._present:
            os.replace(temporary, path)
        sync_folder(path.parent)

    def digests(self) -> Iterator[tuple[str, float]]:
        """Every blob with the seconds since it last arrived."""
        now = time.time()
        for folder in sorted(self._root.iterdir()):
            for path in sorted(folder.iterdir()):
                yield folder.name + path.name, now - path.stat().st_ctime

    def remove(self, digest: str, grace: float) -> bool:
        """Remove a blob that no row names, unless it arrived in the last `grace` seconds."""
        path = self.path(digest)
        with self._present:
            if not path.exists() or time.time() - path.stat().st_ctime < grace:
                return False
            path.unlink()
        return True


class BlobWriter:
    """A blob that is being written. `size` is what came so far, `head` how it begins."""

    def __init__(self, store: BlobStore, path: Path, limit: int | None) -> None:
        self._store, self._path, self._limit = store, path, limit
        self._digest = hashlib.sha256()
        self._file = path.open("xb")
        self.size = 0
        self.head = b""

    def __enter__(self) -> "BlobWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Raises TooLarge past the limit."""
        self.size += len(chunk)
        if self._limit is not None and self.size > self._limit:
            raise TooLarge(
                "the file is too large", came=f"more than {self._limit} bytes", allowed=self._limit
            )
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        self._digest.update(chunk)
        self._file.write(chunk)

    @property
    def sha256(self) -> str:
        """Of what came so far, in hex."""
        return self._digest.hexdigest()

    def reader(self) -> BinaryIO:
        """What came so far, to be looked at before it is a blob."""
        self._file.flush()
        return self._path.open("rb")

    def commit(self) -> FileEntry:
        """Make the blob durable and give it its name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        digest = self._digest.hexdigest()
        self._store.adopt(self._path, digest)
        return FileEntry(sha256=digest, size=self.size)


def _rename_folder(temporary: Path, folder: Path) -> None:
    try:
        os.rename(temporary, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise Conflict(f"the folder {folder.name!r} is there already") from None
