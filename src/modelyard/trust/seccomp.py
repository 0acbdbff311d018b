"""The system calls that code in a sandbox may not make, as a classic BPF program (seccomp(2), bpf(4)).

A list of what is denied, as Flatpak's: an unknown new call is allowed, for a namespace without capabilities is
around it, and frameworks make unusual ones. Denied are calls that reach for more privilege, or that large parts
of the kernel stand behind and a model has no use for. The numbers are Linux's own, which never change.
"""

import errno
import struct
from typing import Final

_LD_ABS, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NR, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_X32: Final = 0x40000000

_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_EPERM, _ENOSYS = errno.EPERM, 38

_NEW_NAMESPACE: Final = 0x7E020000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID and NET
_FAMILIES: Final = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_CREATE, _SET_ID = 0o20000100, 0o6000  # O_CREAT and O_TMPFILE
_QUERY: Final = 0xFFFFFFFF  # personality(2): says what it is and changes nothing

# name: (x86_64, aarch64); None where the architecture has no such call.
_DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "move_mount": (429, 429), "open_tree": (428, 428), "open_tree_attr": (467, 467), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "setns": (308, 268), "unshare": (272, 97),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "kcmp": (312, 272), "pidfd_getfd": (438, 438),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "reboot": (169, 142),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "lookup_dcookie": (212, 18),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "fanotify_init": (300, 262),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "swapon": (167, 224), "swapoff": (168, 225), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "acct": (163, 89), "syslog": (103, 116), "vhangup": (153, 58), "nfsservctl": (180, 42),
    "sethostname": (170, 161), "setdomainname": (171, 162),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "move_pages": (279, 239), "migrate_pages": (256, 238),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None), "uselib": (134, None),
    "_sysctl": (156, None),
}  # fmt: skip

# As if the kernel were older, so that libraries take the way they took then: clone3 and openat2 have their flags
# in memory, which no filter sees; the others make memory that no limit of a process counts.
_UNKNOWN: Final[dict[str, tuple[int | None, int | None]]] = {
    "clone3": (435, 435), "openat2": (437, 437), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "shmget": (29, 194),
}  # fmt: skip

_JUDGED: Final[dict[str, tuple[int | None, int | None]]] = {
    "clone": (56, 220), "socket": (41, 198), "socketpair": (53, 199), "ioctl": (16, 29),
    "personality": (135, 92), "open": (2, None), "openat": (257, 56), "creat": (85, None),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "mknod": (133, None), "mknodat": (259, 33),
}  # fmt: skip

_Code = list[tuple[int, int, int, int]]


def supported(machine: str) -> bool:
    """Whether a program can be made for this architecture (as platform.machine says it)."""
    return machine in _AUDIT_ARCH


def program(machine: str) -> bytes:
    """An array of struct sock_filter. Raises KeyError for an architecture that is not supported."""
    column = list(_AUDIT_ARCH).index(machine)
    code: _Code = [_load(_ARCH), (_JEQ, 1, 0, _AUDIT_ARCH[machine]), _ret(_KILL), _load(_NR)]
    if machine == "x86_64":
        code += [(_JGE, 0, 1, _X32), _ret(_ERRNO | _ENOSYS)]
    for numbers, answer in ((_UNKNOWN, _ENOSYS), (_DENIED, _EPERM)):
        for pair in numbers.values():
            code += _when(pair[column], [_ret(_ERRNO | answer)])
    for name, pair in _JUDGED.items():
        code += _when(pair[column], _judgement(name))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in [*code, _ret(_ALLOW)])


def _judgement(name: str) -> _Code:
    """What is said of a call by its arguments; it ends in a verdict."""
    match name:
        case "clone":
            return _unless_bits(0, _NEW_NAMESPACE)
        case "socket" | "socketpair":
            allowed = [(_JEQ, len(_FAMILIES) - n, 0, family) for n, family in enumerate(_FAMILIES)]
            return [_argument(0), *allowed, _ret(_ERRNO | _EPERM), _ret(_ALLOW)]
        case "ioctl":
            return [_argument(1), (_JEQ, 2, 0, _TIOCSTI), (_JEQ, 1, 0, _TIOCLINUX), *_verdicts()]
        case "personality":
            return [_argument(0), (_JEQ, 1, 0, 0), (_JEQ, 0, 1, _QUERY), *_verdicts()]
        case "open":
            return _creating(1, 2)
        case "openat":
            return _creating(2, 3)
        case "fchmodat" | "fchmodat2" | "mknodat":
            return _unless_bits(2, _SET_ID)
        case _:  # creat, chmod, fchmod, mknod
            return _unless_bits(1, _SET_ID)


def _creating(flags: int, mode: int) -> _Code:
    """A file that is created may not be set-user-id: outside it would be its owner's."""
    return [_argument(flags), (_JSET, 0, 2, _CREATE), _argument(mode), (_JSET, 1, 0, _SET_ID), *_verdicts()]


def _unless_bits(argument: int, bits: int) -> _Code:
    return [_argument(argument), (_JSET, 1, 0, bits), *_verdicts()]


def _verdicts() -> _Code:
    """Allowed to those that come to the first, denied to those that skip it."""
    return [_ret(_ALLOW), _ret(_ERRNO | _EPERM)]


def _when(number: int | None, block: _Code) -> _Code:
    return [] if number is None else [(_JEQ, 0, len(block), number), *block]


def _argument(index: int) -> tuple[int, int, int, int]:
    return _load(_ARGUMENTS + 8 * index)  # its low half: all of these are ints to the kernel


def _load(offset: int) -> tuple[int, int, int, int]:
    return (_LD_ABS, 0, 0, offset)


def _ret(value: int) -> tuple[int, int, int, int]:
    return (_RET, 0, 0, value)
