"""sandbox.py RULES COMMAND…: executes COMMAND where a seccomp filter makes system calls fail.

RULES is JSON: [[call, errno, flag]], flag 0 for every such call, else only those whose first argument has it.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import struct
import sys

NUMBERS = {
    "x86_64": {"clone": 56, "vfork": 58, "epoll_ctl": 233, "pidfd_send_signal": 424, "waitid": 247},
    "aarch64": {"clone": 220, "epoll_ctl": 21, "pidfd_send_signal": 424, "waitid": 95},
}[platform.machine()] | {"pidfd_open": 434, "clone3": 435, "close_range": 436, "epoll_pwait2": 441}

LD_ABS, JEQ, JSET, RET = 0x20, 0x15, 0x45, 0x06
ERRNO, ALLOW = 0x00050000, 0x7FFF0000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2


def program(rules: list[tuple[str, int, int]]) -> bytes:
    code = []
    for call, errno, flag in rules:
        checks = [(LD_ABS, 0, 0, 16), (JSET, 0, 1, flag)] if flag else []
        code += [(LD_ABS, 0, 0, 0), (JEQ, 0, len(checks) + 1, NUMBERS[call]), *checks, (RET, 0, 0, ERRNO | errno)]
    code.append((RET, 0, 0, ALLOW))
    return b"".join(struct.pack("<HBBI", *line) for line in code)


def main() -> None:
    code = program(json.loads(sys.argv[1]))
    buffer = ctypes.create_string_buffer(code, len(code))
    fprog = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(code) // 8, ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, FILTER, fprog, 0, 0):
        sys.exit(f"no seccomp filter: {os.strerror(ctypes.get_errno())}")
    os.execv(sys.argv[2], sys.argv[2:])


main()
