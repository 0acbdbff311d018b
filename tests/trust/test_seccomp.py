"""The program, by an interpreter of classic BPF of a few lines: what it answers for each call."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.trust import seccomp

ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOSYS = 0x00050001, 0x00050026
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CALLS = {
    "x86_64": {"read": 0, "open": 2, "ioctl": 16, "shmget": 29, "socket": 41, "clone": 56, "chmod": 90,
               "ptrace": 101, "personality": 135, "mount": 165, "openat": 257, "unshare": 272, "bpf": 321,
               "clone3": 435, "io_uring_setup": 425, "fchmodat2": 452},
    "aarch64": {"read": 63, "ioctl": 29, "mount": 40, "openat": 56, "unshare": 97, "ptrace": 117, "socket": 198,
                "shmget": 194, "clone": 220, "personality": 92, "bpf": 280, "clone3": 435, "io_uring_setup": 425,
                "fchmodat2": 452},
}  # fmt: skip
MACHINES = pytest.mark.parametrize("machine", ["x86_64", "aarch64"])


def answer(machine, name, *arguments, arch=None, number=None):
    """What the kernel would do: the interpreter of seccomp(2)."""
    number = CALLS[machine][name] if number is None else number
    values = [a & 0xFFFFFFFFFFFFFFFF for a in (*arguments, *[0] * 6)][:6]
    data = struct.pack("<IIQ6Q", number, arch or ARCH[machine], 0, *values)
    code = list(struct.iter_unpack("<HBBI", seccomp.program(machine)))
    place = accumulator = 0
    while True:
        kind, yes, no, k = code[place]
        place += 1
        if kind == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif kind == 0x06:
            return k
        else:
            holds = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[kind]
            place += yes if holds else no


@MACHINES
def test_the_program_is_well_formed(machine):
    code = list(struct.iter_unpack("<HBBI", seccomp.program(machine)))
    assert len(code) < 4096  # BPF_MAXINSNS
    assert code[-1][0] == 0x06
    for place, (kind, yes, no, _) in enumerate(code):
        assert kind in (0x20, 0x15, 0x35, 0x45, 0x06)
        assert place + 1 + max(yes, no) < len(code) or kind == 0x06


@MACHINES
def test_plain_calls(machine):
    assert answer(machine, "read") == ALLOW
    for name in ("mount", "ptrace", "unshare", "bpf", "io_uring_setup"):
        assert answer(machine, name) == EPERM, name
    for name in ("clone3", "shmget"):
        assert answer(machine, name) == ENOSYS, name


@MACHINES
def test_another_architecture_is_ended(machine):
    assert answer(machine, "read", arch=0x40000003) == KILL  # i386, whose numbers mean other calls


def test_x32_has_numbers_of_its_own():
    assert answer("x86_64", "", number=0x40000000 | 165) == ENOSYS
    assert answer("x86_64", "", number=0x40000000) == ENOSYS


@MACHINES
def test_processes_and_threads_but_no_namespaces(machine):
    threads = 0x003D0F00  # what pthread_create asks for
    assert answer(machine, "clone", threads) == ALLOW
    assert answer(machine, "clone", 17) == ALLOW  # fork
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert answer(machine, "clone", 17 | flag) == EPERM


@MACHINES
def test_sockets_of_three_families(machine):
    allowed = [family for family in range(50) if answer(machine, "socket", family) == ALLOW]
    assert allowed == [1, 2, 10]


@MACHINES
def test_terminals_and_personalities(machine):
    assert answer(machine, "ioctl", 0, 0x5401) == ALLOW
    assert answer(machine, "ioctl", 0, 0x5412) == EPERM
    assert answer(machine, "ioctl", 0, 0xFFFFFFFF_00005412) == EPERM  # the kernel looks at the low half alone
    assert answer(machine, "personality", 0) == ALLOW
    assert answer(machine, "personality", 0xFFFFFFFF) == ALLOW
    assert answer(machine, "personality", 0x0040000) == EPERM


@MACHINES
@given(mode=st.integers(0, 0o7777), create=st.booleans())
def test_files_are_never_made_set_user_id(machine, mode, create):
    flags = 0o102 if create else 0o2  # the mode is whatever was in the register where nothing is created
    expected = EPERM if create and mode & 0o6000 else ALLOW
    assert answer(machine, "openat", -100, 0, flags, mode) == expected
    assert answer(machine, "fchmodat2", -100, 0, mode) == (EPERM if mode & 0o6000 else ALLOW)
    if machine == "x86_64":
        assert answer(machine, "open", 0, flags, mode) == expected
        assert answer(machine, "chmod", 0, mode) == (EPERM if mode & 0o6000 else ALLOW)


def test_other_machines_are_told_apart():
    assert seccomp.supported("x86_64")
    assert not seccomp.supported("riscv64")
