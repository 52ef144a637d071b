"""A spool's files: names, segments, progress and leases. The Go, Node and Python SDKs share the format
(section 7 of the SDK specification, sdk/conformance/FORMAT.md), so any of them drains what another left.

    <owner>-<16 digits>.ndjson   a segment: one event a line, closed at 4 MiB
    <owner>-<16 digits>.pos      decimal offset of its first line without a fate; absent: 0
    <owner>.lease                "<host name> <pid> <boot id>/<pid namespace>\\n", touched every 10 s

An owner is dead if it has no lease (it left), if its lease names our host and namespace and a pid that is gone, or if the
lease's time is a minute off and it did not change between two looks of ours. Clocks step and processes are stopped, so one
that lives may be taken for dead: it finds out by the names of its files, after each write.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from typing import BinaryIO, Dict, List, NamedTuple, Optional, Set, Tuple

SEGMENT_MAX = 4 * 1024 * 1024
LEASE_SECONDS = 60.0
SUSPECT_SECONDS = 11.0  # between two looks: longer than a living owner takes to touch its lease
_SEGMENT = re.compile(r"([0-9A-Za-z]+)-(\d{16})\.ndjson")
_BELONGING = re.compile(r"([0-9A-Za-z]+)(?:-(\d{16})\.pos(?:\.tmp)?|\.lease)")

_alive_here: Set[str] = set()  # owners in this process: their pid is ours, which would make them dead


def forget_owners() -> None:
    """In a forked child: the parent's owners are the parent's."""
    _alive_here.clear()


class Segment:
    """A segment of ours: written by one thread; `done` moves under the queue's lock."""

    def __init__(self, path: str, size: int, done: int) -> None:
        self.path = path
        self.size = size  # up to the last whole line
        self.inode = 0  # while it is written to
        self.done = done  # first byte without a fate
        self.recorded = done  # the last done that was written to .pos
        self.fd = -1

    @property
    def ours(self) -> bool:
        """Whether the name still leads to the file: another owner's look ends that."""
        try:
            return os.stat(self.path).st_ino == self.inode or not self.inode
        except FileNotFoundError:
            return False

    @property
    def finished(self) -> bool:
        """Closed, and every event has its fate."""
        return self.fd < 0 and self.done >= self.size

    def append(self, data: bytes) -> None:
        """Writes whole lines; after an error the file ends where it did before. The caller moves `size`."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.fd, view):]
        except OSError:
            try:
                os.ftruncate(self.fd, self.size)
            except OSError:
                pass  # a reader cuts the torn line off
            raise

    def close(self) -> None:
        """Ends writing."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)

    def record(self) -> None:
        """Replaces the .pos file."""
        done, path = self.done, self.path[: -len("ndjson")] + "pos"
        if done != self.recorded:
            with open(path + ".tmp", "w", encoding="ascii") as file:
                file.write(str(done))
            os.replace(path + ".tmp", path)
            self.recorded = done

    def remove(self) -> None:
        """Deletes the segment, then its .pos: a .pos without a segment says nothing."""
        _unlink(self.path)
        _unlink(self.path[: -len("ndjson")] + "pos")


class Found(NamedTuple):
    """What takeover brought."""

    segments: List[Segment]
    events: int
    trouble: Optional[OSError] = None


class Folder:
    """The folder as one owner sees it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.owner = ""
        self._sequence = 0
        self._host = socket.gethostname()
        self._namespace = namespace()
        self._suspects: Dict[str, Tuple[float, Tuple[int, str]]] = {}  # first seen, and the lease then
        self.touched = 0.0

    def enter(self) -> None:
        """Makes the folder and our lease in it, under a new id."""
        os.makedirs(self.path, exist_ok=True)
        self.owner = secrets.token_hex(8)
        _alive_here.add(self.owner)
        try:
            self.touch()
        except OSError:
            _alive_here.discard(self.owner)
            self.owner = ""
            raise

    def touch(self) -> None:
        """Renews the lease."""
        lease = os.path.join(self.path, self.owner + ".lease")
        try:
            os.utime(lease)
        except FileNotFoundError:
            with open(lease, "w", encoding="utf-8") as file:
                file.write(f"{self._host} {os.getpid()} {self._namespace}\n")
        self.touched = time.monotonic()

    def leave(self) -> None:
        """Gives the lease up: what is left here is anybody's."""
        _alive_here.discard(self.owner)
        if self.owner:
            _unlink(os.path.join(self.path, self.owner + ".lease"))
        self.owner = ""

    def create(self, durable: bool) -> Segment:
        """Opens a new segment."""
        self._sequence += 1
        path = self._name(self._sequence)
        segment = Segment(path, 0, 0)
        segment.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600)
        inode = os.fstat(segment.fd).st_ino
        segment.inode = inode if os.stat(path).st_ino == inode else 0  # some network file systems invent them
        if durable:
            sync_folder(self.path)
        return segment

    def take_over(self) -> Found:
        """Renames the segments of dead owners to ours, oldest first, and removes what they left behind."""
        found = Found([], 0)
        segments, others = self._listing()
        owners = {*segments, *others} - {self.owner}
        self._suspects = {owner: seen for owner, seen in self._suspects.items() if owner in owners}
        names = {owner for owner in owners if self._is_dead(owner)}
        for owner in sorted(names, key=lambda o: (_modified(segments.get(o, [])), o)):
            try:
                for path in segments.get(owner, []):
                    segment, events = self._adopt(path)
                    if segment:
                        found = Found([*found.segments, segment], found.events + events, found.trouble)
                for path in others.get(owner, []):
                    _unlink(path)
            except PermissionError:
                continue  # another user's: not ours to send
            except OSError as error:
                found = found._replace(trouble=error)  # what was taken is ours all the same
        return found

    def _listing(self) -> Tuple[Dict[str, List[str]], Dict[str, List[str]]]:
        segments: Dict[str, List[str]] = {}
        others: Dict[str, List[str]] = {}
        for name in sorted(os.listdir(self.path)):
            match, into = _SEGMENT.fullmatch(name), segments
            if not match:
                match, into = _BELONGING.fullmatch(name), others
            if match:
                into.setdefault(match[1], []).append(os.path.join(self.path, name))
        return segments, others

    @property
    def suspecting(self) -> bool:
        """Whether another look, SUSPECT_SECONDS later, tells more."""
        return bool(self._suspects)

    def _is_dead(self, owner: str) -> bool:
        if owner in _alive_here:
            return False
        try:
            with open(os.path.join(self.path, owner + ".lease"), encoding="utf-8", errors="replace") as file:
                text, stat = file.read(512), os.fstat(file.fileno())
        except FileNotFoundError:
            return True  # it has left
        except OSError:
            return False
        host, pid, where = (*text.split(), "", "", "")[:3]
        trusted = where == self._namespace and where != "-"
        if trusted and host == self._host and pid.isdigit() and not _runs(int(pid)):
            return True
        if abs(time.time() - stat.st_mtime) <= LEASE_SECONDS:
            self._suspects.pop(owner, None)
            return False
        now, lease = time.monotonic(), (stat.st_mtime_ns, text)
        since, seen = self._suspects.setdefault(owner, (now, lease))
        if seen != lease:
            self._suspects[owner] = (now, lease)
        return seen == lease and now - since >= SUSPECT_SECONDS

    def _adopt(self, path: str) -> Tuple[Optional[Segment], int]:
        """The rename decides who gets it; then the .pos follows. What cannot be read gets its name back: under ours nobody
        would look at it again before we end."""
        mine = self._name(self._sequence + 1)
        if not _move(path, mine):
            return None, 0  # another one was faster
        self._sequence += 1
        try:
            return self._opened(mine)
        except OSError:
            _move(mine, path)
            raise

    def _opened(self, mine: str) -> Tuple[Optional[Segment], int]:
        with open(mine, "r+b") as file:
            stat = os.fstat(file.fileno())
            done = min(_position(mine), stat.st_size)
            events, size = _count_lines(file, done)
            if size < stat.st_size:
                file.truncate(size)  # a line that was not written whole: no call returned for it
                os.utime(mine, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # events keep their age
        segment = Segment(mine, size, done)
        if not events:
            segment.remove()
            return None, 0
        return segment, events

    def _name(self, sequence: int) -> str:
        return os.path.join(self.path, f"{self.owner}-{sequence:016d}.ndjson")


def namespace() -> str:
    """Where a pid has a meaning: the boot of the machine and the pid namespace; "-" if the system does not tell."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        inode = re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))
        return f"{boot}/{inode}" if boot and inode else "-"
    except (OSError, ValueError):
        return "-"


def sync_folder(path: str) -> None:
    """Makes new names durable; where folders have no sync, the system does it."""
    if os.name == "posix":
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _count_lines(file: BinaryIO, start: int) -> Tuple[int, int]:
    """Lines from start on, and the offset after the last whole one."""
    file.seek(start)
    lines, end, offset = 0, start, start
    while True:
        data = file.read(1 << 20)
        if not data:
            return lines, end
        last = data.rfind(b"\n")
        if last >= 0:
            lines += data.count(b"\n")
            end = offset + last + 1
        offset += len(data)


def _position(path: str) -> int:
    try:
        with open(path[: -len("ndjson")] + "pos", encoding="ascii") as file:
            return max(int(file.read(32)), 0)
    except (FileNotFoundError, ValueError):
        return 0


def _modified(paths: List[str]) -> float:
    try:
        return os.stat(paths[0]).st_mtime if paths else 0.0
    except OSError:
        return 0.0


def _runs(pid: int) -> bool:
    """Whether another process has the pid; our own in a lease of nobody here was an earlier process's."""
    if pid == os.getpid():
        return False
    if os.name != "posix":
        return True  # there, kill ends processes; age tells instead
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _move(path: str, target: str) -> bool:
    """Renames a segment and its position; False if it is not there."""
    try:
        os.rename(path, target)
        os.rename(path[: -len("ndjson")] + "pos", target[: -len("ndjson")] + "pos")
    except FileNotFoundError:
        return os.path.exists(target)  # without a position it is read from its start
    return True


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
