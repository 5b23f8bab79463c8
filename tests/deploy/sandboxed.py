"""Run by Debian's python3: take on the unit's system call list and no writable-executable memory, then run a command.

systemd is not process 1 where the tests run, so its filter is loaded by libseccomp: sandboxed.py ALLOWED DENIED ARGV...
"""

import ctypes
import errno
import os
import sys

import seccomp

PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN = 38, 65, 1


def main(allowed, denied, argv):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
        print("this kernel has no PR_SET_MDWE", file=sys.stderr)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for name in sorted(set(allowed.split(",")) - set(denied.split(","))):
        try:
            rules.add_rule(seccomp.ALLOW, name)
        except (ValueError, RuntimeError, OSError):
            continue  # a call of another architecture
    rules.load()
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
