"""Published data sets in torchvision's places and formats: downloaded by it, checked against its checksums."""

import hashlib
import logging
import shutil
import socket
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from softvq.bounded_files import printable
from softvq.data.files import file_state, fingerprint_of, is_file, make_folder, opened, size_of
from softvq.data.source import DataError, Source, path_setting
from softvq.locks import locked

log = logging.getLogger(__name__)

NETWORK_TIMEOUT_S = 10.0  # for each connection and each read
LARGEST_FILE = 2**31  # bytes that a file of such a set may hold once it is unpacked; the largest has a quarter of that
WAY_OUT = "delete it to download it again or put the official one there"


class OfficialSet(Source):
    """A data set with published files below `root`, at the paths where torchvision puts them.

    Subclasses say which files, where torchvision gets them and how their content is read.
    """

    def __init__(self, name: str, root: str, verify: bool) -> None:
        super().__init__(name)
        self.root = path_setting("data.root", root)
        if not isinstance(verify, bool):
            raise DataError(f"data.verify must be true or false, got {verify!r}")
        self.verify = verify

    @abstractmethod
    def files(self) -> list[Path]:
        """The files that `load` reads, as they lie there now; for an absent one the name that is expected."""

    @abstractmethod
    def download(self, root: Path) -> None:
        """Fetches the set below a folder with torchvision."""

    @abstractmethod
    def published(self) -> dict[Path, str]:
        """Where the files that are published go, and their MD5."""

    def settings(self) -> tuple[object, ...]:
        return ()  # not `root`: prepared arrays stay valid where the whole folder moves

    def fingerprint(self) -> str | None:
        paths = self.files()
        if not all(is_file(path) for path in paths):
            return None
        return fingerprint_of([(path.name, *file_state(path)) for path in paths])

    def fetch_missing(self) -> None:
        """Downloads the set if a file is absent; files that are there stay as they are.

        Raises: DataError: if that fails.
        """
        missing = [path for path in self.files() if not is_file(path)]
        if not missing:
            return
        log.info("Downloading %s to %s", self.name, self.root)
        made = make_folder("data.root", self.root)
        temporary = self.root / f".download-{self.name}"
        lock = self.root / f"{temporary.name}.lock"
        try:
            with locked(lock, "set data.root=PATH to a folder on a local disk"), _impatient_network():
                shutil.rmtree(temporary, ignore_errors=True)  # what a killed download left
                try:
                    self.download(temporary)
                    _move_absent(temporary, self.root)
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
        except Exception as error:
            if made:  # a root that was mistyped is not left behind
                lock.unlink(missing_ok=True)
                with suppress(OSError):
                    self.root.rmdir()
            if not isinstance(error, OSError | RuntimeError | HTTPException | EOFError):
                raise
            wanted = ", ".join(f"{path.relative_to(self.root)} (MD5 {md5})" for path, md5 in self.published().items())
            raise DataError(
                f"data.root={self.root} lacks {missing[0].relative_to(self.root)} of {self.name} and it could not be "
                f"downloaded ({' '.join(str(error).split())}); put these files into {self.root}: {wanted}; "
                f"or set data.root=PATH to where they are; data=digits needs no files"
            ) from error

    def accept(self, path: Path, found: str, expected: str, what: str = "MD5") -> bool:
        """Whether a checksum of a file is the official one.

        Raises: DataError: if it is not and `verify` is set.
        """
        if found == expected:
            return True
        problem = f"{path} ({size_of(path)} bytes) is not the official file: {what} {expected} expected, {found} found"
        if self.verify:
            raise DataError(
                f"{problem}; it is cut short or altered: {WAY_OUT}, or set data.verify=false to accept this copy"
            )
        log.warning("%s; accepted because of data.verify=false", printable(problem))
        return False

    def damaged(self, path: Path, problem: object) -> DataError:
        """The error for a file whose content cannot be read as what it should be."""
        return DataError(
            f"{path} ({size_of(path)} bytes) cannot be read: {problem}; it is cut short or altered: {WAY_OUT}"
        )


def all_verified(checks: Iterable[bool | None]) -> bool | None:
    """False if one copy differs, None if one could not be checked, True otherwise."""
    found = set(checks)
    return False if False in found else None if None in found else True


def md5_of(path: Path) -> str:
    """MD5 of a file's bytes."""
    with opened(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def _impatient_network() -> Iterator[None]:
    """Connections that give up: torchvision sets no timeout, and a network that swallows packets would hang a run."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _move_absent(folder: Path, target: Path) -> None:
    """Moves files to the same places below another folder, whole, where none lies yet."""
    for path in sorted(folder.rglob("*")):
        place = target / path.relative_to(folder)
        if path.is_file() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)
