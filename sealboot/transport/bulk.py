"""Many packets of a file at one go, where what asyncssh does for each packet costs more than the encryption.

asyncssh spends some 40 microseconds of Python on a packet of 32 KiB, and
OpenSSH takes no larger ones. Here up to `COUNT` packets are sealed into one
buffer and written at once. That needs the state of the connection itself (the
cipher, the packet counters, the channel's window), for which asyncssh has no
public door, hence three safeguards:

- `able` knows the names that asyncssh's own sending code touches. A release
  that keeps further state there, or lacks a name, is not guessed at.
- The first packet of every key is sealed by asyncssh as well; both must be the
  same bytes.
- Whatever is not the plain case (a key exchange due or under way, another
  cipher, compression, a tunnel, data still queued) goes the ordinary way,
  packet by packet.

asyncssh sends an empty message before each packet against a weakness of CBC
(RFC 4251 section 9.3.1). GCM does not have it, so none are sent here.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any

import asyncssh
from asyncssh.channel import SSHChannel
from asyncssh.connection import SSHConnection
from asyncssh.crypto.cipher import GCMCipher
from asyncssh.encryption import GCMEncryption
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealboot.transport.channel import Readable
from sealboot.transport.packets import BLOCK, LENGTH, TAG, Batch

#: Packets sealed at one time: 256 KiB in OpenSSH's size, which stays within a processor's cache.
COUNT = 8
#: More data than this is not put into one packet, whatever the server admits (RFC 4253 section 6.1).
LARGEST = 32768
#: Seconds that a window smaller than a batch may grow before it is used as it is.
PATIENCE = 0.005

_SEND_PACKET = frozenset(
    {
        "Byte", "CompressionError", "MSG_DEBUG", "MSG_IGNORE", "MSG_KEX_LAST", "MSG_NEWKEYS",
        "MSG_SERVICE_ACCEPT", "MSG_SERVICE_REQUEST", "MSG_USERAUTH_BANNER", "MSG_USERAUTH_LAST",
        "ProtocolError", "String", "UInt32", "_auth_complete", "_auth_in_progress",
        "_compress_after_auth", "_compressor", "_deferred_packets", "_kex_complete", "_kexinit_sent",
        "_rekey_bytes", "_rekey_bytes_sent", "_rekey_seconds", "_rekey_time", "_send",
        "_send_blocksize", "_send_enchdrlen", "_send_encryption", "_send_kexinit", "_send_seq",
        "_strict_kex", "append", "compress", "encrypt_packet", "join", "len", "log_sent_packet",
        "monotonic", "os", "send_packet", "time", "urandom",
    }
)  # fmt: skip
_FLUSH = frozenset(
    {
        "MSG_CHANNEL_DATA", "MSG_CHANNEL_EOF", "MSG_CHANNEL_EXTENDED_DATA", "String", "UInt32",
        "_close_send", "_pause_resume_writing", "_send_buf", "_send_buf_len", "_send_pktsize",
        "_send_state", "_send_window", "len", "min", "send_packet",
    }
)  # fmt: skip
_ADJUST = frozenset(
    {
        "ProtocolError", "_flush_send_buf", "_recv_state", "_send_window", "check_end", "debug2",
        "get_uint32", "logger",
    }
)  # fmt: skip
_SEAL = frozenset({"_cipher", "encrypt_and_sign"})
_GCM = frozenset({"AESGCM", "_GCM_MAC_SIZE", "_iv", "_key", "_update_iv", "encrypt"})


def able() -> bool:
    """Whether this asyncssh sends packets just as it did when this module was written."""
    known = (
        (SSHConnection, "send_packet", _SEND_PACKET),
        (SSHChannel, "_flush_send_buf", _FLUSH),
        (SSHChannel, "_process_window_adjust", _ADJUST),
        (GCMEncryption, "encrypt_packet", _SEAL),
        (GCMCipher, "encrypt_and_sign", _GCM),
    )
    return hasattr(AESGCM, "encrypt_into") and all(
        isinstance(code := owner.__dict__.get(name), FunctionType)
        and names.issuperset(code.__code__.co_names)
        for owner, name, names in known
    )


class Bulk:
    """The quick way for one channel. `hungry` is told when there is no room, `ready` when there is again."""

    def __init__(
        self,
        channel: asyncssh.SSHClientChannel[bytes],
        *,
        hungry: Callable[[], None],
        ready: Callable[[], None],
    ) -> None:
        self._channel: Any = channel
        self._connection: Any = channel.get_connection()
        self._tell_hungry = hungry
        self._tell_ready = ready
        self._usable = able()
        self._waiting = False
        self._timer: asyncio.TimerHandle | None = None
        self._largest = 0
        self._batch: Batch | None = None
        self._cipher: AESGCM | None = None
        self._cipher_of: object = None
        self._ordinary_flush: Callable[[], None] = self._channel._flush_send_buf
        if self._usable:
            # The one call that asyncssh makes when the window has grown.
            self._channel.__dict__["_flush_send_buf"] = self._flushed

    def close(self) -> None:
        """Leave the channel as it was."""
        self._usable = False
        self._waiting = False
        self._channel.__dict__.pop("_flush_send_buf", None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def feed(self, source: Readable, offset: int) -> int | None:
        """Send what fits of `source` from `offset`: the number of bytes.

        Zero where the host's window is used up (`hungry` was told), `None`
        where the ordinary way is to be used for the next piece.
        """
        if not (self._usable and self._plain_case() and self._same_bytes()):
            return None
        channel = self._channel
        window = channel._send_window
        self._largest = max(self._largest, window)
        if window <= 0:
            self._wait()
            return 0
        batch = self._ready_batch()
        size: int = min(source.size - offset, window, batch.size * batch.count)
        if size <= 0:
            return None
        if size >= batch.size and size < source.size - offset:
            size -= size % batch.size  # whole packets, as long as there is more to come
        if source.read_into(offset, batch.gaps(size)) != size:
            return None  # it became shorter; nothing of this was sent
        self._send(batch, size)
        if channel._send_window < min(self._enough, source.size - offset - size):
            self._wait()
        return size

    def _plain_case(self) -> bool:
        """Whether asyncssh would do nothing with a packet now but encrypt and write it."""
        connection, channel = self._connection, self._channel
        return bool(
            connection._auth_complete
            and connection._kex_complete
            and not connection._deferred_packets
            and connection._compressor is None
            and type(connection._send_encryption) is GCMEncryption
            and connection._send_enchdrlen == 1
            and connection._send_blocksize == BLOCK
            and connection._rekey_bytes_sent + LARGEST * COUNT < connection._rekey_bytes
            and not (connection._rekey_seconds and time.monotonic() >= connection._rekey_time)
            and isinstance(connection._transport, asyncio.Transport)
            and channel._send_state == "open"
            and channel._send_chan is not None
            and not channel._send_buf
            and channel._send_pktsize > 0
        )

    def _same_bytes(self) -> bool:
        """Whether our sealing equals asyncssh's own under the key of this moment; asked once for a key."""
        encryption = self._connection._send_encryption
        if encryption is self._cipher_of:
            return True
        shim = encryption._cipher
        if type(shim) is not GCMCipher or len(shim._iv) != 12:
            self._usable = False
            return False
        cipher = AESGCM(shim._key)
        trial = Batch(0, BLOCK, 1)
        trial.gaps(BLOCK)[0][:] = bytes(range(BLOCK))
        ours, _, following = trial.seal(cipher, shim._iv)
        theirs = GCMEncryption(copy.copy(shim))
        length = bytes(ours[:LENGTH])
        plain = cipher.decrypt(shim._iv, ours[LENGTH:], length)
        same = b"".join(theirs.encrypt_packet(0, length, plain)) == ours
        self._usable = same and theirs._cipher._iv == following
        if self._usable:
            self._cipher, self._cipher_of = cipher, encryption
        return self._usable

    def _ready_batch(self) -> Batch:
        size = min(self._channel._send_pktsize, LARGEST)
        if self._batch is None:
            self._batch = Batch(self._channel._send_chan, size, COUNT)
        return self._batch

    def _send(self, batch: Batch, size: int) -> None:
        """Seal and write, and keep the accounts that asyncssh keeps."""
        connection, channel = self._connection, self._channel
        assert self._cipher is not None  # noqa: S101 (for the type checker: `_same_bytes` made it)
        shim = connection._send_encryption._cipher
        sealed, packets, shim._iv = batch.seal(self._cipher, shim._iv)
        connection._send_seq = (connection._send_seq + packets) & 0xFFFFFFFF
        connection._rekey_bytes_sent += len(sealed) - packets * (LENGTH + TAG)
        channel._send_window -= size
        connection._send(sealed)
        transport = connection._transport
        if transport is not None and transport.get_write_buffer_size():
            batch.renew()  # newer event loops keep a reference to what they could not send yet

    @property
    def _enough(self) -> int:
        """The window that is worth another batch; less where the host never opens it that far."""
        return min(LARGEST * COUNT, self._largest // 2)

    def _wait(self) -> None:
        self._waiting = True
        self._tell_hungry()
        self._use_what_there_is()

    def _use_what_there_is(self) -> None:
        """Not wait for a whole batch for long: the host may grant no more before this little is used."""
        if self._timer is None and self._channel._send_window > 0:
            self._timer = self._channel.get_loop().call_later(PATIENCE, self._wake)

    def _flushed(self) -> None:
        """The window may have grown: the ordinary way first, then whoever waits here."""
        self._ordinary_flush()
        if not self._waiting:
            return
        if self._channel._send_window >= max(self._enough, 1):
            self._wake()
        else:
            self._use_what_there_is()

    def _wake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._waiting = False
            self._tell_ready()
