"""An administrator's kubeconfig: read from a host that may lie, and made anew for the operator's machine.

Nothing of the host's text is passed on as it came. Three values are taken out
of it, each checked to be what it must be, and a new file is made of them. A
kubeconfig can run programs (`exec`), read files (`client-key`) and send
everything through a proxy on the machine of whoever uses it: no host has a
say in that. Keys and their meaning: kubernetes.io, "kubeconfig (v1)".
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import yaml
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from sealboot.inventory.tree import parse, plain
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.secret import Secret

#: What of a cluster and of a user may stand there; everything else could act on the operator's machine.
_CLUSTER: Final = frozenset({"server", "certificate-authority-data"})
_USER: Final = frozenset({"client-certificate-data", "client-key-data"})
_WHY: Final[Mapping[str, str]] = {
    "exec": "would run a program on your machine",
    "auth-provider": "would run a login plugin on your machine",
    "certificate-authority": "names a file on your machine",
    "client-certificate": "names a file on your machine",
    "client-key": "names a file on your machine",
    "tokenFile": "names a file on your machine",
    "insecure-skip-tls-verify": "would trust any server",
    "proxy-url": "would send everything through a proxy",
    "tls-server-name": "would accept another server's certificate",
}
_NAME = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,250}[\x21-\x7e])?")
_PORT_LIMIT: Final = 65535


@dataclass(frozen=True, slots=True)
class Access:
    """What lets an administrator in: base64 of PEM as in the file, and until when the certificate is good."""

    authority: str
    certificate: str
    key: Secret
    until: datetime

    def same_cluster(self, authority: str) -> bool:
        """Whether this is the certificate authority of the same cluster, compared by its bytes."""
        own = _bytes(self.authority)
        return own is not None and _bytes(authority) == own

    def pem_key(self) -> str:
        """The key as PEM: the other form in which it must not be seen."""
        return (_bytes(self.key.reveal()) or b"").decode("ascii", "backslashreplace")


class _UnfitError(Exception):
    """Why the text is not used; holds no value of it."""


def read(data: bytes) -> Access | str:
    """What is in a kubeconfig of one cluster with embedded certificates, or why it is refused.

    The words never quote a value: it may be the key.
    """
    tree = parse(data, "kubeconfig")
    if isinstance(tree, Diagnostic):
        line = f" (line {tree.at.line})" if tree.at else ""
        return f"it is no plain YAML of a kubeconfig{line}"
    try:
        return _access(plain(tree))
    except _UnfitError as error:
        return str(error)


def name_fault(name: str) -> str:
    """Why this cannot be the name of a context; empty when it can."""
    return "" if _NAME.fullmatch(name) else "expected up to 252 visible ASCII characters"


def url_fault(url: str) -> str:
    """Why this cannot be the URL of an API server; empty when it can."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "it is no URL"
    if parts.scheme != "https":
        return "it does not begin with https://"
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "it has characters that no URL has"
    if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        return "expected https://HOST:PORT and no more than a path behind it"
    return "" if port is None or 0 < port <= _PORT_LIMIT else "its port is none"


def document(access: Access, name: str, server: str) -> dict[str, Any]:
    """A kubeconfig with `name` for cluster, user and context. It holds the key in clear."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": access.authority}}
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": access.certificate,
                    "client-key-data": access.key.reveal(),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def text(access: Access, name: str, server: str) -> str:
    """The same as YAML, the same text for the same values."""
    made: str = yaml.safe_dump(document(access, name, server), sort_keys=False, width=2**31 - 1)
    return made


def _access(tree: Any) -> Access:
    root = _map(tree, "it")
    if root.get("apiVersion") != "v1" or root.get("kind") != "Config":
        raise _UnfitError("it is no kubeconfig: not `kind: Config` of `apiVersion: v1`")
    cluster, cluster_name = _only(root, "clusters", "cluster")
    user, user_name = _only(root, "users", "user")
    context, context_name = _only(root, "contexts", "context")
    if (context.get("cluster"), context.get("user")) != (cluster_name, user_name):
        raise _UnfitError("its context is not of its cluster and its user")
    if root.get("current-context") not in (None, "", context_name):  # any value may stand there
        raise _UnfitError("its current context is none of its own")
    _known(cluster, _CLUSTER, "cluster")
    _known(user, _USER, "user")
    fault = url_fault(_text(cluster, "server"))
    if fault:
        raise _UnfitError(f"the address of its server is not usable: {fault}")
    authority = _text(cluster, "certificate-authority-data")
    if not _certificates(authority, "certificate-authority-data"):
        raise _UnfitError("`certificate-authority-data` holds no certificate")
    certificate, key = _text(user, "client-certificate-data"), _text(user, "client-key-data")
    return Access(authority, certificate, Secret(key), _pair(certificate, key))


def _map(tree: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(tree, dict):
        raise _UnfitError(f"{what} is no map")
    return tree


def _only(root: Mapping[str, Any], several: str, one: str) -> tuple[Mapping[str, Any], str]:
    """The one entry of a list, and its name."""
    entries = root.get(several)
    if not isinstance(entries, list) or len(entries) != 1:
        raise _UnfitError(f"`{several}` has not exactly one entry")
    entry = _map(entries[0], f"the entry of `{several}`")
    return _map(entry.get(one), f"`{one}`"), _text(entry, "name")


def _text(tree: Mapping[str, Any], key: str) -> str:
    value = tree.get(key)
    if not isinstance(value, str) or not value:
        raise _UnfitError(f"`{key}` is missing")
    return value


def _known(tree: Mapping[str, Any], known: Iterable[str], what: str) -> None:
    for key in tree:
        if key in _WHY:
            raise _UnfitError(f"its {what} has `{key}`, which {_WHY[key]}")
        if key not in known:
            raise _UnfitError(f"its {what} has a setting that no administrator's kubeconfig needs")


def _bytes(text: str) -> bytes | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _pem(text: str, key: str) -> bytes:
    data = _bytes(text)
    if data is None:
        raise _UnfitError(f"`{key}` is no base64")
    return data


def _certificates(text: str, key: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_pem(text, key))
    except (ValueError, x509.InvalidVersion):
        raise _UnfitError(f"`{key}` holds no certificate") from None


def _pair(certificate: str, key: str) -> datetime:
    """When the certificate ends; refused unless the key is its own."""
    try:
        private = load_pem_private_key(_pem(key, "client-key-data"), None)
        own = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _UnfitError("`client-key-data` holds no private key that can be used as it is") from None
    leaf = _certificates(certificate, "client-certificate-data")[0]
    try:
        theirs = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        # not_valid_after_utc is from 42 on, and the older name warns there.
        utc = getattr(leaf, "not_valid_after_utc", None)
        until = utc if isinstance(utc, datetime) else leaf.not_valid_after.replace(tzinfo=UTC)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _UnfitError("`client-certificate-data` has a key or an end of an unknown kind") from None
    if own != theirs:
        raise _UnfitError("`client-key-data` is not the key of `client-certificate-data`")
    return until
