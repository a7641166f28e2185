"""Reports made of values, and a console of any width that writes into text."""

from __future__ import annotations

import io

from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Elf, Kind, Segment
from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.model.outcome import HostOutcome
from sealboot.model.plan import Action, Plan, PlannedStep, PlannedWave
from sealboot.model.repack import Part, RepackReport, Upx
from sealboot.model.report import AppliedHost, ApplyReport, CheckReport, HostRow, KubeconfigReport
from sealboot.model.steps import Run, Service, Upload
from sealboot.model.verdict import Outcome, Verdict
from sealboot.render.console import Consoles, make_consoles
from sealboot.render.view import HumanView


def elf(arch: Arch) -> Elf:
    info = arch.info
    load = Segment(1, 5, 0, 0x400000, 4096, 4096, 0x10000)
    return Elf(info.bits, info.endian, info.machine, 2, 0, 0, arch, segments=(load,))


def artifact(path: str, arch: Arch) -> Artifact:
    return Artifact(
        path, Kind.ELF, 4_200_000, "ab" * 32, (f"linux/{arch.value}",), (elf(arch),), named_arch=None
    )


GOOD = artifact("binaries/k3s", Arch.AMD64)
PI = artifact("binaries/k3s-arm64", Arch.ARM64)
LIAR = artifact("binaries/old/k3s-arm64", Arch.AMD64)

MISMATCH = Diagnostic(
    "SB101",
    "binary cannot run on pi02",
    host="pi02",
    artifact=LIAR.path,
    at=Location("inventory.yaml", 27, 12),
    evidence=(
        ("file", "binaries/old/k3s-arm64  ELF64 x86-64, despite its name"),
        ("host", "pi02  aarch64 kernel, arm64 userland"),
    ),
    hints=("delete the override; binaries/k3s-arm64 is aarch64 and fits",),
)
UNREACHABLE = Diagnostic(
    "SB201",
    "pi03 did not answer: connection refused",
    host="pi03",
    evidence=(("address", "10.0.0.23 port 22"), ("stage", "TCP")),
    hints=("is the machine up, and does sshd listen there?",),
)
CHANGED = Diagnostic(
    "SB202",
    "nas1 presented a different host key",
    host="nas1",
    at=Location("known_hosts", 4, 1),
    evidence=(
        ("known", "ED25519  SHA256:Df60leQMVE4sn6DWzRHf2RXY0KfHPWrYPhhnSN0CFnA"),
        ("offered", "ECDSA  SHA256:5ULf0CupjCxnMiwHFtVAqmPzAoXXS6ZHpOZ2nE0f2Xo"),
    ),
    notes=("no login was tried and no command was run on this host",),
    hints=("if you reinstalled it, compare at its console: `sealboot trust nas1`",),
)
HOSTILE = Diagnostic(
    "SB111",
    "the name of \x1b[31mevil\x1b[0m\u202e.gnp claims arm64, its bytes are x86-64",
    Severity.WARNING,
    artifact="evil",
    evidence=(("says", "line one\nline two [link=http://x]\x9b2J"),),
)


def check_report() -> CheckReport:
    return CheckReport(
        source="inventory.yaml",
        cluster="lab",
        driver="k3s",
        release="v1.33.4",
        hosts=(
            HostRow("ctl1", "server", "ok", "amd64", "amd64", {"k3s": GOOD.path}),
            HostRow("pi01", "agent", "ok", "arm64", "arm64", {"k3s": PI.path}),
            HostRow("pi02", "agent", "failed", "arm64", "arm64", {"k3s": LIAR.path}),
            HostRow("pi03", "agent", "not-reached"),
            HostRow("nas1", "agent", "not-reached"),
        ),
        artifacts=(GOOD, PI, LIAR),
        pairs=(
            Verdict("ctl1", GOOD.path, Outcome.RUNS, usable=True),
            Verdict("ctl1", PI.path, Outcome.CANNOT, usable=False, reason="SB101"),
            Verdict("pi01", GOOD.path, Outcome.CANNOT, usable=False, reason="SB101"),
            Verdict("pi01", PI.path, Outcome.RUNS, usable=True),
            Verdict("pi02", LIAR.path, Outcome.EMULATED, usable=False, reason="SB103"),
        ),
        diagnostics=(HOSTILE, UNREACHABLE, MISMATCH, CHANGED),
        seconds=4.12,
    )


def big_check_report() -> CheckReport:
    rows = [HostRow(f"pi{n:02}", "agent", "ok", "arm64", "arm64", {"k3s": PI.path}) for n in range(1, 41)]
    rows[6] = HostRow("pi07", "agent", "not-reached")
    lost = Diagnostic("SB201", "pi07 did not answer: no route", host="pi07")
    return CheckReport("inventory.yaml", "lab", "k3s", None, tuple(rows), (PI,), (), (lost,), seconds=0.8)


def plan() -> Plan:
    def steps(host: str, action: Action) -> tuple[PlannedStep, ...]:
        upload = Upload(
            id=f"up:{host}", host=host, title="upload k3s to /usr/local/bin/k3s", source=PI.path,
            sha256="ab" * 32, size=PI.size, dest="/usr/local/bin/k3s",
        )  # fmt: skip
        service = Service(id=f"svc:{host}", host=host, title="start k3s-agent", name="k3s-agent")
        return PlannedStep(upload, action, "differs: other bytes"), PlannedStep(service, Action.DEPENDS)

    done = Run(id="token", host="ctl1", title="read the join token", script="cat /token")
    return Plan(
        cluster="lab",
        driver="k3s",
        waves=(
            PlannedWave("token", "servers", (PlannedStep(done, Action.NONE),)),
            PlannedWave(
                "agents",
                "agents",
                tuple(s for n in range(1, 5) for s in steps(f"pi{n:02}", Action.CHANGE)),
                2,
            ),
        ),
        hosts=("ctl1", "pi01", "pi02", "pi03", "pi04"),
    )


def apply_report() -> ApplyReport:
    failed = Diagnostic(
        "SB501",
        "start k3s-agent failed on pi02",
        host="pi02",
        evidence=(("exit", "1"), ("log", "no such unit")),
    )
    return ApplyReport(
        cluster="lab",
        hosts=(
            AppliedHost("ctl1", "server", HostOutcome.OK),
            AppliedHost("pi01", "agent", HostOutcome.CHANGED, 2, 4_200_000, 3.2),
            AppliedHost("pi02", "agent", HostOutcome.FAILED, 1, 4_200_000, 2.8),
            AppliedHost("pi03", "agent", HostOutcome.SKIPPED),
        ),
        diagnostics=(failed,),
        seconds=8.4,
        run_id="1f2e3d4c",
    )


class Screen:
    """A view whose output can be read back."""

    def __init__(self, width: int, *, color: bool = False) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        env = {"COLUMNS": str(width)} | ({"FORCE_COLOR": "1", "TERM": "xterm-256color"} if color else {})
        self.consoles: Consoles = make_consoles(plain=not color, out=self.out, err=self.err, env=env)
        self.view = HumanView(self.consoles)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.out.getvalue().splitlines()) + "\n"


def repack_report() -> RepackReport:
    source = artifact("binaries/k0s", Arch.AMD64)
    parts = (
        Part("program", 3_100_000, 2_100_000, "without .symtab, .strtab"),
        Part("padding", 2016, 0, "zeros that nothing points to"),
        Part("payload", 1_097_984, 1_097_984, "every byte stays: the program counts from the end"),
    )
    upx = Upx(2_000_000, "measured with UPX 4.2.4, on a copy", "breaks it: `gzip: invalid header` \x1b[31m")
    proofs = ("10 program headers and the entry point are the same", "all 1936720 loaded bytes are the same")
    made = artifact("small", Arch.AMD64)
    return RepackReport(source, parts, upx, "small", made, proofs, 1_900_000, (HOSTILE,))


def kubeconfig_report() -> KubeconfigReport:
    """A merge whose first server was down."""
    return KubeconfigReport(
        cluster="lab",
        host="ctl2",
        context="lab",
        server="https://10.0.0.12:6443",
        path="~/.kube/config",
        state="changed",
        until="2027-11-21T09:30:00Z",
        backup="~/.kube/config.20261121T103000.000000Z.bak",
        merged=True,
        diagnostics=(
            Diagnostic("SB201", "ctl1 does not answer at 10.0.0.11:22", Severity.WARNING, host="ctl1"),
        ),
    )
