"""Kubeconfigs that hosts give: what is taken out of them, what is refused, and what is made anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from access_kit import UNTIL, admin, b64
from hypothesis import given, settings
from hypothesis import strategies as st

from sealboot.workflow.kubeconfig_text import Access, name_fault, read, text, url_fault

Change = Callable[[dict[str, Any]], object]


def access(cluster: str = "lab") -> Access:
    made = read(admin(cluster).text().encode())
    assert isinstance(made, Access), made
    return made


def test_what_k3s_writes_is_read() -> None:
    ours, got = admin(), access()
    assert (got.authority, got.certificate, got.key.reveal()) == (ours.authority, ours.certificate, ours.key)
    assert got.until == UNTIL
    assert ours.key not in repr(got)
    assert "PRIVATE KEY" in got.pem_key()


def test_a_cluster_is_told_by_its_authority() -> None:
    assert access().same_cluster(admin().authority)
    assert access().same_cluster("\n ".join((admin().authority[:64], admin().authority[64:])))
    assert not access().same_cluster(admin("other").authority)
    assert not access().same_cluster("")


def test_it_is_made_anew_with_the_clusters_name() -> None:
    """`default` in a certificate's base64, in a domain or in a key is no name, and stays."""
    made = text(access(), "lab", "https://default.example:6443")
    tree = yaml.safe_load(made)
    assert {**tree, "preferences": {}} == admin().document("lab", "https://default.example:6443")
    again = read(made.encode())
    assert isinstance(again, Access)
    assert again.key == access().key


def _cluster(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = tree["clusters"][0]["cluster"]
    return found


def _user(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = tree["users"][0]["user"]
    return found


HOSTILE: dict[str, tuple[Change, str]] = {
    "exec": (lambda t: _user(t).update(exec={"command": "/bin/sh", "args": ["-c", "id"]}), "run a program"),
    "auth-provider": (lambda t: _user(t).update({"auth-provider": {"name": "oidc"}}), "login plugin"),
    "key-file": (lambda t: _user(t).update({"client-key": "/home/op/.ssh/id_rsa"}), "names a file"),
    "certificate-file": (lambda t: _user(t).update({"client-certificate": "/etc/passwd"}), "names a file"),
    "authority-file": (lambda t: _cluster(t).update({"certificate-authority": "/x"}), "names a file"),
    "token-file": (lambda t: _user(t).update({"tokenFile": "/etc/shadow"}), "names a file"),
    "insecure": (lambda t: _cluster(t).update({"insecure-skip-tls-verify": True}), "trust any server"),
    "proxy": (lambda t: _cluster(t).update({"proxy-url": "http://evil:1"}), "proxy"),
    "server-name": (lambda t: _cluster(t).update({"tls-server-name": "evil"}), "another server's"),
    "impersonates": (lambda t: _user(t).update({"as": "root"}), "no administrator's"),
    "two clusters": (lambda t: t["clusters"].append({"name": "b", "cluster": {}}), "exactly one"),
    "no user": (lambda t: t.update(users=[]), "exactly one"),
    "no context": (lambda t: t.pop("contexts"), "exactly one"),
    "list": (lambda t: t.update(clusters=["x"]), "no map"),
    "http": (lambda t: _cluster(t).update(server="http://127.0.0.1:6443"), "https://"),
    "no server": (lambda t: _cluster(t).pop("server"), "`server` is missing"),
    "other kind": (lambda t: t.update(kind="Secret"), "no kubeconfig"),
    "other context": (lambda t: t["contexts"][0]["context"].update(user="else"), "not of its"),
    "other current": (lambda t: t.update({"current-context": "else"}), "current context"),
    "no base64": (lambda t: _cluster(t).update({"certificate-authority-data": "%%%"}), "no base64"),
    "no certificate": (lambda t: _cluster(t).update({"certificate-authority-data": b64(b"x")}), "no certif"),
    "no key": (lambda t: _user(t).update({"client-key-data": b64(b"secret-of-mine")}), "no private key"),
    "other's key": (lambda t: _user(t).update({"client-key-data": admin("other").key}), "not the key of"),
    "number": (lambda t: _user(t).update({"client-key-data": ["x"]}), "is missing"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_refused(case: str) -> None:
    change, why = HOSTILE[case]
    tree: dict[str, Any] = yaml.safe_load(admin().text())
    change(tree)
    got = read(yaml.safe_dump(tree).encode())
    assert isinstance(got, str), got
    assert why in got
    assert admin().key[:20] not in got


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b"a: &x [*x]\n",
        b"!!python/object/apply:os.system [id]\n",
        b"kind: Config\nkind: Config\n",
        b"- - -",
        b"a: b\n---\nc: d\n",
        b"x",
    ],
)
def test_what_is_no_kubeconfig_at_all(data: bytes) -> None:
    assert isinstance(read(data), str)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_reading_never_raises(data: bytes) -> None:
    assert isinstance(read(data), str)


_TREES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.sampled_from(["clusters", "users", "contexts", "current-context", "kind", "apiVersion"]),
    _TREES,
)
def test_reading_never_raises_whatever_stands_in_a_place(key: str, tree: Any) -> None:
    made = {**admin().document(), key: tree}
    got = read(yaml.safe_dump(made).encode())
    assert isinstance(got, str) or tree in (None, "")


@settings(deadline=None)
@given(st.text(max_size=40))
def test_urls_that_are_taken_have_a_host_and_nothing_odd(rest: str) -> None:
    url = f"https://{rest}"
    if not url_fault(url):
        assert url.isascii()
        assert url.isprintable()
        assert "@" not in url.removeprefix("https://").partition("/")[0]


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://10.0.0.11:6443", True),
        ("https://[fd00::1]:6443", True),
        ("https://rancher.example/k8s/clusters/c-1", True),
        ("http://10.0.0.11:6443", False),
        ("10.0.0.11:6443", False),
        ("https://", False),
        ("https://u:p@10.0.0.11", False),
        ("https://a:99999", False),
        ("https://a:x", False),
        ("https://[::1", False),
        ("https://a/?b", False),
        ("https://a\\b", False),
    ],
)
def test_urls(url: str, good: bool) -> None:
    assert (url_fault(url) == "") is good


@pytest.mark.parametrize(
    ("name", "good"),
    [("lab", True), ("a b", True), ("", False), (" a", False), ("a\x1b[2J", False), ("ä", False)],
)
def test_names(name: str, good: bool) -> None:
    assert (name_fault(name) == "") is good
