from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealboot.drivers.template import Member, Rendered, Scope, TemplateError, render


def member(name: str, role: str = "member", **more: str) -> Member:
    return Member(name, role, {"host.name": name, "host.address": f"10.0.0.{name[-1]}", **more})


SCOPE = Scope(
    {"host.name": "m1", "vars.dir": "/data dir's", "vars.trap": "{{ host.name }} {host.name}", "first.control-plane.name": "c"},
    (member("m1"), member("m2"), member("a3", "agent")),
    frozenset({"join"}),
)  # fmt: skip


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain { text } }}", "plain { text } }}"),
        ("{{ host.name }}", "m1"),
        ("{{host.name}}-{{  host.name\n}}", "m1-m1"),
        ("{{ vars.dir | sh }}", "'/data dir'\"'\"'s'"),
        ("{{ vars.dir | json }}", '"/data dir\'s"'),
        ("{{ first.control-plane.name }}", "c"),
        ('docker ps --format \'{{ "{{" }}.Names}}\'', "docker ps --format '{{.Names}}'"),
        (r'{{ "a\n\"b\"\\" }}', 'a\n"b"\\'),
        ('{{ each role=member sep="," : {host.name}=http://{host.address}:2380 }}', "m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380"),
        (r'{{ each sep="\n" : {index}. {host.name} }}', "1. m1\n2. m2\n3. a3"),
        ("{{ each role=member,agent host=?[13] : {host.name} }}", "m1 a3"),
        ('{{ each role=agent : {"name": "{host.name}"} }}', '{"name": "a3"}'),
        ("{{ vars.trap }}", "{{ host.name }} {host.name}"),
        ("t: {{ secret.join }}", "t: {{ secret.join }}"),
    ],
)  # fmt: skip
def test_what_templates_become(source: str, text: str) -> None:
    assert render(source, SCOPE).text == text


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("{{ host.nmae }}", "'host.nmae' has no value here; known: host.name"),
        ("{{ nothing.here }}", "has no value"),
        ("a\nb {{ host.name", "line 2: `{{` is not closed"),
        ("{{ host.name | upper }}", "no filter is called 'upper'"),
        ("{{ secret.other }}", "no earlier phase captures"),
        ("{{ secret.join | sh }}", "takes no filter"),
        ("{{ each role=none : x }}", "matches no host"),
        ("{{ each rule=member : x }}", "not rule="),
        ("{{ each role=member : }}", "needs a text"),
        ("{{ each role=member : {host.nmae} }}", "host.nmae"),
        ("{{ __import__('os').system('x') }}", "expected"),
        ("{{ host.name.__class__ }}", "has no value"),
        ("{{ 1 + 1 }}", "expected"),
        ("{{ .Names }}", "expected"),
        ("{{ }}", "expected"),
        ("{{ each role=member : {{ host.name }} }}", "single braces"),
        ("x" * (300 << 10), "256 KiB"),
    ],
)
def test_what_templates_must_not_be(source: str, complaint: str) -> None:
    with pytest.raises(TemplateError, match=re.escape(complaint)):
        render(source, SCOPE)


def test_secrets_stay_names() -> None:
    assert render("{{ secret.join }} {{secret.join}}", SCOPE) == Rendered(
        "{{ secret.join }} {{ secret.join }}", ("join",)
    )


def test_output_is_bounded() -> None:
    scope = Scope({"vars.x": "x" * 60_000})
    with pytest.raises(TemplateError, match="grows beyond 1 MiB"):
        render("{{ vars.x }}" * 100, scope)


@pytest.mark.parametrize("piece", ["{{ ", '{{ "', "{{ {", " ", '{{ each role="', "{{ each a=b "])
def test_no_text_makes_it_slow(piece: str) -> None:
    began = time.process_time()
    with pytest.raises(TemplateError):
        render(("{{ " + piece * (200_000 // len(piece)))[:250_000], SCOPE)
    assert time.process_time() - began < 1.0


@given(st.text(alphabet='{} "\\|:.=each rolsnm,hot', max_size=80))
def test_any_text_renders_or_is_refused(source: str) -> None:
    try:
        rendered = render(source, SCOPE)
    except TemplateError:
        return
    if "{{" not in source:
        assert rendered.text == source
