"""A store on a file system that other machines share is refused in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from crash.harness import need, need_root
from store.making import PROGRAMS

from raydp_wrap.errors import StoreError
from raydp_wrap.store import Store, network, network_file_system

if TYPE_CHECKING:
    from pathlib import Path

MOUNTS = r"""22 1 254:0 / / rw,relatime - ext4 /dev/root rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
40 22 0:45 / /mnt/a\040b rw,relatime shared:1 master:2 - nfs4 server:/a rw,vers=4.2
41 22 0:46 / /mnt/ssh rw - fuse.sshfs me@host: rw,user_id=0
42 22 0:47 / /mnt/overlay rw - fuse.fuse-overlayfs fuse-overlayfs rw
43 22 0:48 / /mnt/- rw shared:7 - cifs //server/share rw
not a mount
"""


@pytest.mark.requirement("fault-20")
@pytest.mark.parametrize(
    ("device", "kind", "refused"),
    [
        ((254, 0), "ext4", False),
        ((0, 45), "nfs4", True),
        ((0, 46), "fuse.sshfs", True),
        ((0, 47), "fuse.fuse-overlayfs", False),
        ((0, 48), "cifs", True),
        ((7, 7), None, False),
    ],
)
def test_the_type_is_found_by_device(device: tuple[int, int], kind: str | None, refused: bool) -> None:  # noqa: FBT001
    assert network.type_of(os.makedev(*device), MOUNTS) == kind
    if kind is not None:
        assert network.is_of_the_network(kind) is refused


@pytest.mark.requirement("fault-20")
@pytest.mark.parametrize(
    "kind", ["nfs", "smb3", "9p", "lustre", "gpfs", "beegfs", "afs", "ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.mfs"]
)
def test_all_of_these_are_of_the_network(kind: str) -> None:
    assert network.is_of_the_network(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuse.gocryptfs", "fuseblk"])
def test_none_of_these_is(kind: str) -> None:
    assert not network.is_of_the_network(kind)


def test_a_path_that_is_not_there_counts_as_its_parent(tmp_path: Path) -> None:
    assert network_file_system(tmp_path / "a" / "b") is None


@pytest.mark.requirement("fault-20")
def test_a_real_mount_is_refused(tmp_path: Path) -> None:
    need_root()
    need(os.path.exists("/dev/fuse"), "needs /dev/fuse")
    point = tmp_path / "far"
    point.mkdir()
    with subprocess.Popen([sys.executable, PROGRAMS / "sshfs.py", str(point)], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout
            need(server.stdout.readline() == b"ready\n", "no FUSE file system can be mounted here")
            assert network_file_system(point) == "fuse.sshfs"
            assert network_file_system(point / "missing") == "fuse.sshfs"
            with pytest.raises(StoreError, match=r"network file system \(fuse\.sshfs\).*RAYDP_WRAP_HOME") as caught:
                Store(point)
            assert "\n" not in str(caught.value)
        finally:
            subprocess.run(["umount", "-l", str(point)], check=False, capture_output=True)
            server.kill()
