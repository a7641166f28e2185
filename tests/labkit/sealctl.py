"""A stand-in for sealos' `sealctl`: true ELF programs that act on their arguments, made without a compiler.

Each is a static program under 2 KiB whose machine code does one thing: it
executes `/bin/sh -c SCRIPT` with its own arguments behind, and with its own
environment. A kernel of another architecture refuses it with ENOEXEC as it
would refuse the real one; what it says and does is the script, written after
the behaviour of sealos' own commands: `version` prints JSON, `hostname` writes
to stderr without a newline, `hosts` merges lines.

The code builds the new argument vector in place. At entry the stack holds
argc, argv[0], argv[1], …; three words in front of argv[0] become "/bin/sh",
"-c" and the script, and the environment lies behind the old arguments.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sealboot.lab import tinyelf
from sealboot.model.arch import Arch

#: The strings stand right behind the ELF headers (64 + 56 bytes), so that the code needs no relocation.
_SHELL = b"/bin/sh\0"
_OPTION = b"-c\0".ljust(8, b"\0")
_STRINGS = 0x78

#: A branch of `case`, for every stand-in that has it, after sealos 5.1.1 (`lifecycle/pkg/utils/hosts/hosts.go`), which
#: keys lines by their whole list of names: `add` appends unless a line has exactly that one name; a rewrite makes
#: one line of lines with equal names (the last counts), loses comments after the last entry and a last line
#: without a newline. It ends with 0 whatever became of it, and tells that on stdout.
HOSTS = """\
hosts)
  verb=${2:-}; shift 2 || fail "hosts: list, add or delete"
  path=/etc/hosts ip= domain=
  while [ $# -gt 0 ]; do
    case $1 in
    --path) path=$2 ;; --ip) ip=$2 ;; --domain) domain=$2 ;;
    *) fail "hosts: unknown flag $1" ;;
    esac
    shift 2
  done
  rewritten() {
    awk -v name="$domain" -v ip="$1" '
      function names(line) { sub(/^[ \\t]*[^ \\t]+[ \\t]+/, "", line); return line }
      NR == FNR { if (!/^[ \\t]*(#|$)/) last[names($0)] = FNR; next }
      /^[ \\t]*(#|$)/ { held = held $0 "\\n"; next }
      last[names($0)] != FNR { next }
      { printf "%s", held; held = "" }
      names($0) == name { if (ip != "") print ip, name; next }
      { print }' "$path" "$path" >"$path.new"
    cat "$path.new" >"$path"; rm -f "$path.new"
  }
  case $verb in
  list) exec cat "$path" ;;
  add) if grep -Eq "^[^#]*[ \\t]$domain\\$" "$path" && [ "$(grep -E "[ \\t]$domain\\$" "$path" | awk '{ print NF }' | sort -u)" = 2 ]; then rewritten "$ip"
    else printf '%s %s\\n' "$ip" "$domain" >>"$path"; fi ;;
  delete) rewritten '' ;;
  *) fail "hosts: unknown command $verb" ;;
  esac
  echo "[sealctl] hosts $verb $domain" ;;
"""

_SCRIPT = f"""\
arch=@ARCH@ version=@VERSION@
fail() {{ echo "sealctl: $*" >&2; exit 1; }}
case ${{1:-}} in
version)
  if [ "${{2:-}}" = --short ]; then echo "$version"
  else echo "{{\\"gitVersion\\":\\"$version\\",\\"platform\\":\\"linux/$arch\\"}}"; fi ;;
hostname) printf %s "$(uname -n)" >&2 ;;
{HOSTS}*) fail "unknown command ${{1:-}}" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class _Code:
    """Machine code in hexadecimal, in the order of the bytes in the file."""

    text: str

    @property
    def raw(self) -> bytes:
        return bytes.fromhex(self.text)


def _words(*words: int) -> _Code:
    return _Code(struct.pack(f"<{len(words)}I", *words).hex())


_CODE = {
    # mov rcx,[rsp]; lea rdx,[rsp+rcx*8+16]; mov edi,SHELL; mov [rsp-16],rdi; lea eax,[rdi+8]; mov [rsp-8],rax;
    # lea eax,[rdi+16]; mov [rsp],rax; lea rsi,[rsp-16]; mov eax,execve; syscall; mov edi,127; mov eax,exit; syscall
    Arch.AMD64: _Code(
        "488b0c24 488d54cc10 bf78004000 48897c24f0 8d4708 48894424f8 8d4710 48890424 488d7424f0"
        " b83b000000 0f05 bf7f000000 b83c000000 0f05"
    ),
    # ldr x2,[sp]; add x2,sp,x2,uxtx 3; add x2,x2,16; movz x0,64,lsl 16; movk x0,120; add x3,x0,8; add x4,x0,16;
    # stur x0,[sp,-16]; stur x3,[sp,-8]; str x4,[sp]; sub x1,sp,16; mov x8,execve; svc; mov x0,127; mov x8,exit; svc
    Arch.ARM64: _words(
        *(0xF94003E2, 0x8B226FE2, 0x91004042, 0xD2A00800, 0xF2800F00, 0x91002003, 0x91004004, 0xF81F03E0),
        *(0xF81F83E3, 0xF90003E4, 0xD10043E1, 0xD2801BA8, 0xD4000001, 0xD2800FE0, 0xD2800BA8, 0xD4000001),
    ),
    # ld a2,0(sp); slli a2,a2,3; add a2,a2,sp; addi a2,a2,16; lui a0,0x400; addi a0,a0,120; addi a3,a0,8;
    # addi a4,a0,16; sd a0,-16(sp); sd a3,-8(sp); sd a4,0(sp); addi a1,sp,-16; li a7,execve; ecall;
    # li a0,127; li a7,exit; ecall
    Arch.RISCV64: _words(
        *(0x00013603, 0x00361613, 0x00260633, 0x01060613, 0x00400537, 0x07850513, 0x00850693, 0x01050713),
        *(0xFEA13823, 0xFED13C23, 0x00E13023, 0xFF010593, 0x0DD00893, 0x73, 0x07F00513, 0x05D00893, 0x73),
    ),
    # lg r4,0(r15); sllg r4,r4,3; la r4,16(r4,r15); lgfi r2,SHELL; la r3,8(r2); la r5,16(r2); stg r2,-16(r15);
    # stg r3,-8(r15); stg r5,0(r15); lay r3,-16(r15); svc execve; lghi r2,127; svc exit
    Arch.S390X: _Code(
        "e340f0000004 eb440003000d 4144f010 c02100400078 41302008 41502010 e320fff0ff24 e330fff8ff24"
        " e350f0000024 e330fff0ff71 0a0b a729007f 0a01"
    ),
}


def supported() -> tuple[Arch, ...]:
    """The architectures that `sealctl` can be made for."""
    return tuple(_CODE)


def sealctl(arch: Arch, version: str = "v5.0.1") -> bytes:
    """The program for `arch`; its text tells `version`, so that two versions are two files."""
    return program(arch, _SCRIPT, version)


def program(arch: Arch, text: str, version: str) -> bytes:
    """An ELF program that runs a shell script; `@ARCH@` and `@VERSION@` in it are filled in."""
    script = text.replace("@ARCH@", arch.value).replace("@VERSION@", version).encode() + b"\0"
    strings = _SHELL + _OPTION + script
    start = _STRINGS + len(strings) + -len(strings) % 8
    body = strings.ljust(start - _STRINGS, b"\0") + _CODE[arch].raw
    size = _STRINGS + len(body)
    assert tinyelf.headers_size(arch, 1) == _STRINGS
    segment = tinyelf.program_header(
        arch, kind=1, flags=5, offset=0, address=tinyelf.BASE, size=size, align=tinyelf.ALIGN
    )
    return tinyelf.elf_header(arch, entry=tinyelf.BASE + start, segments=1) + segment + body
