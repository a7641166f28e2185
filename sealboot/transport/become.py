"""Becoming root through sudo or doas, without ever handing a password to the wrong reader.

A password piped blindly into `sudo -S` reaches the *shell* where the rule is
NOPASSWD, and the shell runs it as a command. So sudo is given a random prompt,
the password is sent when that prompt appears and not before, and the script is
sent when the new shell has printed a random marker. A second prompt means that
the password was wrong: the shell is closed, and the session never tries again
(a repeated wrong password locks accounts).

doas reads a password from a terminal only. A PTY would merge the two output
streams and rewrite line ends, so doas works without a password (`nopass`), and
where it wants one, or where sudo demands a terminal, the diagnostic says so.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import BecomeSettings, Host
from sealboot.model.secret import Secret, SecretSource
from sealboot.transport.channel import Conversation, Pipe
from sealboot.transport.endings import quoted
from sealboot.transport.shell import OWN_GROUP, PATH, quote

#: Seconds that sudo (PAM, LDAP, a slow resolver) may take for each of its answers.
ANSWER_LIMIT = 30.0

# `$0` of the new shell is the nonce: it is no secret, and the text sent never holds a whole marker.
_ASCEND = f"""\
{{
sb_n=%(nonce)s
PATH="${{PATH:+$PATH:}}{PATH}" LC_ALL=C
export PATH LC_ALL
if command -v %(method)s >/dev/null 2>&1; then
exec %(command)s -u %(user)s -- /bin/sh -c %(shell)s "$sb_n"
fi
printf '\\n%%s:%%s:\\n' "$sb_n" missing
exit 127
}}
"""

_SHELL = 'printf "\\n%s:%s:\\n" "$0" become; ' + OWN_GROUP

_COMMANDS = {"sudo": 'sudo -S -p "[sb-$sb_n]"', "doas": "doas -n"}


@dataclass(frozen=True, slots=True)
class _Reason:
    """One way in which becoming root fails: what identifies it, and what to tell."""

    said: tuple[str, ...]
    summary: str
    hint: str


_SUDO_SAID = (
    _Reason(
        ("must have a tty", "a terminal is required"),
        "sudo on {host} wants a terminal (requiretty)",
        "add `Defaults:{user} !requiretty` to sudoers: a terminal would mangle what scripts read and write",
    ),
    _Reason(
        ("is not in the sudoers file", "may not run sudo"),
        "{user} is not in the sudoers file of {host}",
        "add {user} to the group that may use sudo (`sudo` or `wheel`), or log in as another user",
    ),
    _Reason(
        ("is not allowed to execute", "not allowed to run"),
        "sudo on {host} does not let {user} run /bin/sh as {become}",
        "the sudoers rule must allow `/bin/sh`: sealboot runs scripts, not single commands",
    ),
    _Reason(
        ("incorrect password", "Sorry, try again", "Authentication failure"),
        "the sudo password for {user} on {host} is wrong",
        "it was tried once and will not be tried again in this run; correct `become.password_from`",
    ),
    _Reason(
        ("a password is required", "no password was provided"),
        "sudo on {host} needs a password",
        "set `become: {{password_from: prompt}}` (or env:, file:, keyring:), or add a NOPASSWD rule",
    ),
)

_DOAS_SAID = (
    _Reason(
        ("Authentication required", "Authorization required", "a tty is required"),
        "doas on {host} needs a password, which it reads from a terminal only",
        "add `permit nopass {user}` to doas.conf, or use `become: {{method: sudo}}`",
    ),
    _Reason(
        ("Operation not permitted", "not enabled"),
        "doas on {host} does not let {user} become {become}",
        "doas.conf needs a rule such as `permit nopass {user} as {become}`",
    ),
)

_MISSING = _Reason(
    (),
    "{user} is not {become} on {host}, and {method} is not installed there",
    "log in as {become}, install {method}, or name another tool in `become.method`",
)
_WRONG = _SUDO_SAID[3]
_NEEDED = _SUDO_SAID[4]
_SILENT = _Reason(
    (),
    "{method} on {host} did not answer as expected",
    "try `{method} /bin/sh -c true` on the host as {user}: a second factor or a changed prompt cannot be served",
)


class Become:
    """How one session gains the become user's rights. Remembers a failure; see `failure`."""

    def __init__(self, host: Host, login_user: str, secrets: SecretSource) -> None:
        self._host = host
        self._user = login_user
        self._secrets = secrets
        self._password: Secret | None = None
        self._proven = False
        self._first = asyncio.Lock()
        self.failure: Diagnostic | None = None

    @property
    def settings(self) -> BecomeSettings:
        """The host's own settings."""
        return self._host.become

    @property
    def needed(self) -> bool:
        """Whether there is somebody to become: with `method: none` everything runs as the login user."""
        return self.settings.method != "none" and self._user != self.settings.user

    def refused(self) -> Diagnostic | None:
        """Why no attempt is worth a channel: a remembered failure."""
        return self.failure

    async def ascend(self, talk: Conversation, pipe: Pipe) -> Diagnostic | None:
        """Turn the login shell of `pipe` into one of the become user; why not, if it fails.

        `None` is also returned when the conversation ended or overflowed in a
        way that is not sudo's doing: look at `talk.over`. The first attempt of
        a session is made alone, so that one wrong password is one attempt
        however many scripts start at once.
        """
        if self._proven:
            return await self._dialogue(talk, pipe)
        async with self._first:
            if self.failure is None:
                self.failure = await self._dialogue(talk, pipe)
                self._proven = self.failure is None and _marker(talk, "become")
            return self.failure

    async def _dialogue(self, talk: Conversation, pipe: Pipe) -> Diagnostic | None:
        pipe.write(self._opening(talk.nonce))
        prompt = f"[sb-{talk.nonce}]".encode()
        for answered in range(2):
            try:
                async with asyncio.timeout(ANSWER_LIMIT):
                    await talk.until(partial(_answered, talk, prompt, answered))
            except TimeoutError:
                return self._diagnostic(_SILENT, talk.err.noise)
            if _marker(talk, "become"):
                return None
            if talk.over:
                return self._verdict(talk)
            problem = None if answered else self._answer(pipe)
            if problem is not None:
                return problem
        return self._diagnostic(_WRONG, b"")

    def _opening(self, nonce: str) -> bytes:
        text = _ASCEND % {
            "nonce": nonce,
            "method": self.settings.method,
            "command": _COMMANDS[self.settings.method],
            "user": quote(self.settings.user),
            "shell": quote(_SHELL),
        }
        return text.encode("utf-8", "surrogateescape")

    def _answer(self, pipe: Pipe) -> Diagnostic | None:
        if self._password is None:
            reference = self.settings.password_from
            if reference is None:
                return self._diagnostic(_NEEDED, b"")
            try:
                self._password = self._secrets(reference)
            except LookupError as error:
                said = str(error.args[0] if error.args else error)
                return self._diagnostic(_NEEDED, said.encode("utf-8", "backslashreplace"))
        pipe.write(self._password.reveal().encode("utf-8", "surrogateescape") + b"\n")
        return None

    def _verdict(self, talk: Conversation) -> Diagnostic | None:
        """Why the shell ended without the marker; `None` when that is not for us to say."""
        if _marker(talk, "missing"):
            return self._diagnostic(_MISSING, b"")
        if talk.lost is not None or talk.echoed or talk.overflow:
            return None
        said = talk.err.noise
        text = said.decode("utf-8", "backslashreplace")
        for reason in _SUDO_SAID if self.settings.method == "sudo" else _DOAS_SAID:
            if any(words in text for words in reason.said):
                return self._diagnostic(reason, said)
        return self._diagnostic(_SILENT, said) if self.settings.method in text else None

    def _diagnostic(self, reason: _Reason, said: bytes) -> Diagnostic:
        words = {
            "host": self._host.name,
            "user": self._user,
            "become": self.settings.user,
            "method": self.settings.method,
        }
        if self._password is not None:  # a host may repeat what it was told, also where the quotation ends
            said = said.replace(self._password.reveal().encode("utf-8", "surrogateescape"), b"***")
        text = quoted(said)
        return Diagnostic(
            "SB303",
            reason.summary.format(**words),
            host=self._host.name,
            at=self._host.origin("become"),
            evidence=((self.settings.method, text),) if text else (),
            hints=(reason.hint.format(**words),),
        )


def _answered(talk: Conversation, prompt: bytes, before: int) -> bool:
    """Whether there is something to react to: the new shell, the end, or one more prompt."""
    return _marker(talk, "become") or talk.over or talk.err.noise.count(prompt) > before


def _marker(talk: Conversation, word: str) -> bool:
    return f"{talk.nonce}:{word}:\n".encode() in talk.out.noise
