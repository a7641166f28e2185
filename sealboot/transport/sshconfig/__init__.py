"""`~/.ssh/config`, read as OpenSSH reads it, and only where the inventory asks for it.

Understood is what says *where* and *as whom* to connect. What could weaken the
connection or run a program on this machine is never obeyed, and the operator
is told. What OpenSSH itself refuses to read stops here too, with its line.

The rules are those of OpenSSH's `readconf.c`, `misc.c` (`argv_split`),
`match.c` and `ssh.c`, compared in 9.2p1 and 10.5; where the two differ, the
host is refused rather than reached in one of two ways.
"""

from sealboot.transport.sshconfig.lookup import Ignored, Resolved, SshConfig
from sealboot.transport.sshconfig.reading import Refusal
from sealboot.transport.sshconfig.words import parse_time

__all__ = ["Ignored", "Refusal", "Resolved", "SshConfig", "parse_time"]
