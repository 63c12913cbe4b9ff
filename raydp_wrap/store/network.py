"""File systems of the network, where neither locks nor shared memory hold what SQLite needs."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["network_file_system"]

_NETWORK = frozenset(
    (
        "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fhgfs", "gfs", "gfs2", "gpfs", "lustre",
        "mmfs", "ncpfs", "nfs", "nfs3", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "pvfs2", "smb3", "smbfs",
        "vboxsf", "vmhgfs", "wekafs",
    )
)  # fmt: skip
# In user space: anything else behind "fuse." may well be local (overlays, encryption, ntfs).
_NETWORK_FUSE = frozenset(
    (
        "afp", "alluxio-fuse", "beegfs", "blobfuse", "blobfuse2", "ceph", "ceph-fuse", "curlftpfs", "davfs", "dfs",
        "gcsfuse", "glusterfs", "gocsfs", "goofys", "gvfsd-fuse", "juicefs", "lizardfs", "mfs", "moosefs",
        "mount-s3", "nfs", "quobyte", "rclone", "s3fs", "seaweedfs", "smbnetfs", "sshfs", "vmhgfs-fuse",
    )
)  # fmt: skip


def network_file_system(path: str | os.PathLike[str]) -> str | None:
    """The type of the network file system (``nfs4``, ``fuse.sshfs``, …) that PATH is on, None for a local one.

    A path that does not exist counts as its nearest parent that does. None also where it can't be told.
    """
    place = Path(os.path.realpath(path))
    for candidate in (place, *place.parents):
        try:
            device = os.stat(candidate).st_dev
            with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
                kind = type_of(device, file.read())
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return kind if kind is not None and is_of_the_network(kind) else None
    return None


def type_of(device: int, mountinfo: str) -> str | None:
    """The type of the file system on DEVICE, by a text like ``/proc/self/mountinfo``."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mountinfo.splitlines():
        # Id, parent, device, root, point, options, then any number of fields up to a hyphen, then the type.
        head, _, tail = line.partition(" - ")
        fields = head.split(" ")
        if len(fields) > 2 and fields[2] == wanted and tail:  # noqa: PLR2004 - the third field
            return tail.split(" ", 1)[0]
    return None


def is_of_the_network(kind: str) -> bool:
    """Whether other machines may share a file system of type KIND."""
    if kind.startswith(("fuse.", "fuseblk.")):
        return kind.partition(".")[2] in _NETWORK_FUSE
    return kind in _NETWORK
