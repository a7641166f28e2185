"""UKIs, kernels and initrds as text and as JSON: every fact of a layer is there, and none moves the cursor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from boot_kit import add_sections, arm64_image, bzimage, cpio, pe, sign, uki, zboot
from fit_kit import artifact_of
from jsonschema import Draft202012Validator
from render_kit import Screen

from sealboot.model.artifact import Artifact
from sealboot.model.report import InspectReport
from sealboot.render import jsondoc
from sealboot.render.schemas import report_schema


def shown(found: Artifact) -> str:
    screen = Screen(120)
    screen.view.inspected(InspectReport((found,)))
    return screen.text


def document(found: Artifact) -> list[dict[str, Any]]:
    printed = json.loads(jsondoc.dump(jsondoc.inspected(InspectReport((found,)))))
    Draft202012Validator(report_schema()).validate(printed)
    return list(printed["artifacts"][0]["layers"])


def test_a_uki_as_a_tree(tmp_path: Path) -> None:
    more = [
        (".profile", b"ID=main\n"),
        (".profile", b"ID=reset\n"),
        (".cmdline", b"wipe"),
        (".pcrsig", b"{}"),
    ]
    data = sign(uki(kernel=zboot(arm64_image(2), method="zstd22"), more=more))
    text = shown(artifact_of(tmp_path, "metal.efi", data))
    for line in (
        "├─ PE32+ EFI application, arm64 (aarch64)",
        "│    signature signed (by whom is for the firmware to judge)",
        "├─ unified kernel image",
        "│    stub      systemd-stub 257.1",
        "│    os        Talos (v1.14.0)",
        "│    uname     6.6.1-test",
        "│    cmdline   console=ttyAMA0 talos.platform=metal",
        "│    profile   0 main",
        "│    profile   1 reset (.cmdline, .pcrsig)",
        "│    measured  signed PCR policies (.pcrsig)",
        "├─ Linux kernel (zboot), arm64 (aarch64)",
        "│    payload   zstd",
        "├─ Linux kernel (Image), arm64 (aarch64)",
        "│    pages     16 KiB",
        "├─ initial RAM file system: zstd",
    ):
        assert line in text
    assert "trusted" not in text


def test_kernels_and_initrds_as_trees(tmp_path: Path) -> None:
    text = shown(artifact_of(tmp_path, "vmlinuz", bzimage()))
    assert "Linux kernel (bzImage), amd64 (x86-64)" in text
    assert "protocol  2.15, relocatable" in text
    assert "big-endian" in shown(artifact_of(tmp_path, "big", arm64_image(big=True)))
    early = cpio([("kernel/x86/microcode/AuthenticAMD.bin", b"u")]) + cpio([("init", b"x")])
    assert "initial RAM file system: cpio + cpio, the first with processor microcode" in shown(
        artifact_of(tmp_path, "initrd", early)
    )
    addon = add_sections(pe(0xAA64), [(".cmdline", b"quiet")])
    assert "addon to a unified kernel image" in shown(artifact_of(tmp_path, "addon", addon))
    assert "machine 0x1f0, no known architecture" in shown(artifact_of(tmp_path, "powermac", pe(0x1F0)))


def test_what_a_uki_says_about_itself_cannot_move_the_cursor(tmp_path: Path) -> None:
    evil = b"\x1b[2Jquiet \xe2\x80\xae[link=http://x]"
    parts = [
        (".linux", arm64_image()),
        (".cmdline", evil),
        (".osrel", b"PRETTY_NAME=" + evil),
        ("\x1b[1m", b"x"),
    ]
    found = artifact_of(tmp_path, "evil.efi", pe(0xAA64, parts))
    text = shown(found)
    assert r"\x1b[2Jquiet \u202e[link=http://x]" in text
    assert all(c.isprintable() or c == "\n" for c in text)
    assert jsondoc.dump(jsondoc.inspected(InspectReport((found,)))).isascii()


def test_layers_as_json(tmp_path: Path) -> None:
    data = uki(kernel=zboot(arm64_image(2)))
    header, image, outer, inner, initrd = document(artifact_of(tmp_path, "metal.efi", data))
    assert [layer["layer"] for layer in (header, image, outer, inner, initrd)] == [
        "pe", "uki", "kernel", "kernel", "initrd"
    ]  # fmt: skip
    assert (header["arch"], header["signed"], header["sections"][0]["name"]) == ("arm64", False, ".text")
    assert image["os_release"]["VERSION_ID"] == "v1.14.0"
    assert (outer["format"], outer["compression"]) == ("zboot", "gzip")
    assert (inner["format"], inner["page_size"]) == ("Image", 16384)
    assert initrd == {"layer": "initrd", "parts": ["zstd"], "microcode": False}
