"""sshfs.py POINT: a file system in user space that calls itself fuse.sshfs, and has nothing but its root."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
import sys

LOOKUP, FORGET, GETATTR, INIT, OPENDIR, BATCH_FORGET = 1, 2, 3, 26, 27, 42
libc = ctypes.CDLL(None, use_errno=True)
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40700,user_id={os.getuid()},group_id={os.getgid()}"
if libc.mount(b"host:/", sys.argv[1].encode(), b"fuse.sshfs", 0, options.encode()) < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
print("ready", flush=True)
attributes = struct.pack("<6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40700, 2, os.getuid(), os.getgid(), 0, 4096, 0)
answers = {
    INIT: struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 12, 10, 65536, 1, 0, 0, *[0] * 8),
    GETATTR: struct.pack("<QII", 1, 0, 0) + attributes,
    OPENDIR: struct.pack("<QII", 1, 0, 0),
}
with contextlib.suppress(OSError):  # unmounted
    while True:
        request = os.read(fuse, 1 << 17)
        _, opcode, unique = struct.unpack_from("<IIQ", request)
        if opcode in (FORGET, BATCH_FORGET):
            continue
        answer = answers.get(opcode)
        error = 0 if answer is not None else -errno.ENOENT if opcode == LOOKUP else -errno.ENOSYS
        os.write(fuse, struct.pack("<IiQ", 16 + len(answer or b""), error, unique) + (answer or b""))
