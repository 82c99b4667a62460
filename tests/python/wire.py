"""The wire protocol without sockets: sections 1 to 6 and 10 of docs/protocol.md. Bytes, keys and times in, bytes out.

Names are those of the page: AK, ES, K_ch, hdr25, TH_2, ..
"""

import hashlib
import hmac as hmac_module
import os
import struct
from collections import deque, namedtuple

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import messages

S2S, RDV = 1, 2
M1, M2, M3, M4, REJECT, KEY_UPDATE, CLOSE = 0x01, 0x02, 0x03, 0x04, 0x05, 0x0E, 0x0F
HEADER_LEN, TAG_LEN = 57, 16
CLOCK_SKEW_MS_MAX = 120_000
SEQ_MAX = 1 << 24
KEY_UPDATES_MAX, KEY_UPDATES_WINDOW_MS = 4, 60_000
REKEY_RECORDS, REKEY_BYTES, REKEY_MS = 1 << 20, 1 << 34, 3_600_000
VERSION, SUITE = 2, 1


class Refused(Exception):
    """What the host sent is not acceptable: the connection ends. `owes_close`: Close 5 is sent first (section 11)."""

    def __init__(self, why, owes_close=False):
        super().__init__(why)
        self.owes_close = owes_close


def require(condition, why, owes_close=False):
    if not condition:
        raise Refused(why, owes_close)


# Section 1: conventions.


def H(data):
    return hashlib.sha256(data).digest()


def HM(key, message):
    return hmac_module.new(key, message, hashlib.sha256).digest()


def same(left, right):
    return hmac_module.compare_digest(left, right)


def lv8(data):
    return struct.pack(">B", len(data)) + data


def lv16(data):
    return struct.pack(">H", len(data)) + data


def extract(salt, ikm):
    return HM(salt, ikm)


def EL(secret, label, context, length):
    info = struct.pack(">H", length) + lv8(b"rs2 " + label.encode()) + lv8(context)
    return HM(secret, info + b"\x01")[:length]


def sign(seed, context, message):
    return Ed25519PrivateKey.from_private_bytes(seed).sign(context.encode() + b"\0" + message)


def node_public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _is_small_order(public_key):
    """Whether 8 times the point is the neutral element: the y of such points are 1, -1, 0 and the roots of d y^4 + 2 y^2 - 1."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p
    y = (int.from_bytes(public_key, "little") & (1 << 255) - 1) % p
    return y in (0, 1, p - 1) or (d * y**4 + 2 * y**2 - 1) % p == 0


def verifies(public_key, context, message, signature):
    """Strict: no small-order key here, no unreduced S in the library."""
    if _is_small_order(public_key):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, context.encode() + b"\0" + message)
    except (InvalidSignature, ValueError):
        return False
    return True


class Reader:
    """Reads fields from the front; whoever reads beyond the end, or leaves something, has a bad message."""

    def __init__(self, data, owes_close=False):
        self.data, self.at, self.owes_close = data, 0, owes_close

    def take(self, length):
        require(self.at + length <= len(self.data), "a message is too short", self.owes_close)
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, length):
        return int.from_bytes(self.take(length), "big")

    def lv8(self):
        return self.take(self.number(1))

    def lv16(self, longest):
        length = self.number(2)
        require(length <= longest, "a field is too long", self.owes_close)
        return self.take(length)

    def end(self):
        require(self.at == len(self.data), "something follows a message", self.owes_close)


# Section 2: header.

Header = namedtuple("Header", "payload_len hmac epoch seq msg_type timestamp_ms")


def pack_hdr25(payload_len, epoch, seq, msg_type, timestamp_ms):
    return struct.pack(">IIQBQ", payload_len, epoch, seq, msg_type, timestamp_ms)


def frame_of(hdr25, hmac, payload):
    return hdr25[:4] + hmac + hdr25[4:] + payload


def parse_header(data):
    payload_len, hmac, epoch, seq, msg_type, timestamp_ms = struct.unpack(">I32sIQBQ", data)
    return Header(payload_len, hmac, epoch, seq, msg_type, timestamp_ms)


def hdr25_of(header):
    return pack_hdr25(header.payload_len, header.epoch, header.seq, header.msg_type, header.timestamp_ms)


# Section 5: records.


class RecordKeys:
    """What a traffic secret gives."""

    def __init__(self, secret):
        self.secret = secret
        self.key, self.mac, self.iv = EL(secret, "key", b"", 32), EL(secret, "mac", b"", 32), EL(secret, "iv", b"", 12)

    def updated(self):
        return RecordKeys(EL(self.secret, "upd", b"", 32))

    def nonce(self, epoch, seq):
        return bytes(left ^ right for left, right in zip(self.iv, struct.pack(">IQ", epoch, seq)))

    def seal(self, epoch, seq, msg_type, timestamp_ms, plaintext):
        hdr25 = pack_hdr25(len(plaintext) + TAG_LEN, epoch, seq, msg_type, timestamp_ms)
        payload = AESGCM(self.key).encrypt(self.nonce(epoch, seq), plaintext, hdr25)
        return frame_of(hdr25, HM(self.mac, hdr25 + payload), payload)

    def open(self, header, payload):
        hdr25 = hdr25_of(header)
        require(same(HM(self.mac, hdr25 + payload), header.hmac), "a record's hmac is wrong")
        try:
            return AESGCM(self.key).decrypt(self.nonce(header.epoch, header.seq), payload, hdr25)
        except InvalidTag:
            raise Refused("a record's tag is wrong") from None


class HostClock:
    """The host's clock as this client knows it, and the latest timestamp of each direction (section 2, clocks)."""

    def __init__(self, server_hello_ms, now_ms):
        self.offset = server_hello_ms - now_ms
        self.last_ms = server_hello_ms

    def check(self, timestamp_ms, now_ms):
        fresh = abs(timestamp_ms - (now_ms + self.offset)) <= CLOCK_SKEW_MS_MAX
        require(fresh and timestamp_ms >= self.last_ms, "a record's timestamp is stale", owes_close=True)
        self.last_ms = timestamp_ms


class Sender:
    """Client to host, from epoch 2 on."""

    def __init__(self, secret, last_ms, now_ms):
        self.keys, self.epoch, self.seq, self.last_ms = RecordKeys(secret), 2, 0, last_ms
        self.sealed_bytes, self.epoch_began_ms = 0, now_ms

    def seal(self, msg_type, plaintext, now_ms):
        """The frame of one message, preceded by a KeyUpdate if one is due."""
        due = self.seq + 1 >= REKEY_RECORDS or self.sealed_bytes >= REKEY_BYTES or now_ms - self.epoch_began_ms >= REKEY_MS
        update = self.update_key(now_ms) if due else b""
        return update + self._seal(msg_type, plaintext, now_ms)

    def update_key(self, now_ms, request=False):
        frame = self._seal(KEY_UPDATE, bytes([request]), now_ms)
        self.keys, self.epoch, self.seq = self.keys.updated(), self.epoch + 1, 0
        self.sealed_bytes, self.epoch_began_ms = 0, now_ms
        return frame

    def close(self, code, received, text, now_ms):
        return self._seal(CLOSE, struct.pack(">HQI", code, received, 0) + lv8(text.encode()), now_ms)

    def _seal(self, msg_type, plaintext, now_ms):
        self.last_ms = max(self.last_ms, now_ms)
        frame = self.keys.seal(self.epoch, self.seq, msg_type, self.last_ms, plaintext)
        self.seq += 1
        self.sealed_bytes += len(frame)
        return frame


Close = namedtuple("Close", "code received retry_after_ms text")


class Receiver:
    """Host to client, from epoch 2 on."""

    def __init__(self, secret, types, max_payload, clock):
        self.keys, self.epoch, self.seq, self.clock = RecordKeys(secret), 2, 0, clock
        self.limits = {msg_type: min(limit, max_payload) for msg_type, (_, limit) in types.items()}
        self.limits.update({KEY_UPDATE: 17, CLOSE: 286})
        self.accepted, self.updates, self.update_wanted, self.ended = 0, deque(), False, False

    def check_header(self, header):
        """Step 2: before the payload is read."""
        require(not self.ended, "something follows Close")
        limit = self.limits.get(header.msg_type)
        require(limit is not None, f"type {header.msg_type:#x} is not allowed here")
        require(TAG_LEN <= header.payload_len <= limit, f"{header.payload_len} bytes of payload")
        require((header.epoch, header.seq) == (self.epoch, self.seq) and self.seq < SEQ_MAX, "a record is out of order")

    def open(self, header, payload, now_ms):
        """Steps 4 to 7. The plaintext of an application message, or a `Close`, or None after a KeyUpdate."""
        plaintext = self.keys.open(header, payload)
        self.clock.check(header.timestamp_ms, now_ms)
        self.seq += 1
        self.accepted += 1
        if header.msg_type == KEY_UPDATE:
            return self._update_key(plaintext, now_ms)
        if header.msg_type == CLOSE:
            self.ended = True
            return _parse_close(plaintext)
        return plaintext

    def _update_key(self, plaintext, now_ms):
        require(plaintext in (b"\0", b"\1"), "a KeyUpdate is malformed", owes_close=True)
        while self.updates and now_ms - self.updates[0] >= KEY_UPDATES_WINDOW_MS:
            self.updates.popleft()
        self.updates.append(now_ms)
        require(len(self.updates) <= KEY_UPDATES_MAX, "too many key updates", owes_close=True)
        self.keys, self.epoch, self.seq = self.keys.updated(), self.epoch + 1, 0
        self.update_wanted |= plaintext == b"\1"


def _parse_close(plaintext):
    reader = Reader(plaintext, owes_close=True)
    code, received, retry_after_ms, text = reader.number(2), reader.number(8), reader.number(4), reader.lv8()
    reader.end()
    return Close(code, received, min(retry_after_ms, 3_600_000), text.decode(errors="replace"))


def parse_reject(payload):
    """Code and seconds to wait, capped: a hint."""
    reader = Reader(payload)
    code, retry_after_s = reader.number(1), reader.number(2)
    reader.end()
    return code, min(retry_after_s, 300)


# Sections 3 and 4: identity and handshake.


class Pins:
    """What a client believes of the host: its realm and its public signing keys by key epoch."""

    def __init__(self, realm_id, signing_keys):
        self.realm_id, self.signing_keys = realm_id, signing_keys

    def check_channel_certificate(self, encoded, now_ms):
        """The channel key that the certificate speaks for."""
        reader = Reader(encoded)
        channel_pub, not_before, not_after, key_epoch = reader.take(32), reader.number(8), reader.number(8), reader.number(4)
        signature = reader.take(64)
        reader.end()
        require(key_epoch in self.signing_keys, f"key epoch {key_epoch} is not pinned")
        genuine = verifies(self.signing_keys[key_epoch], "RankedServer/2 channel-key", self.realm_id + encoded[:52], signature)
        require(genuine, "the channel certificate is not signed by the pinned key")
        require(not_before <= now_ms <= not_after, "the channel certificate is not in force")
        return channel_pub


class Identity:
    """Who connects: channel, identity, auth key, credential and, on S2S, the seed of the node key."""

    def __init__(self, channel, identity, AK, credential, node_seed=None):
        self.channel, self.identity, self.AK, self.credential, self.node_seed = channel, identity, AK, credential, node_seed

    @classmethod
    def of_game_server(cls, certificate, certificate_secret, pepper, node_seed):
        return cls(S2S, certificate[28:44], HM(pepper, certificate_secret), certificate, node_seed)

    @classmethod
    def of_player(cls, login_ticket):
        return cls(RDV, login_ticket[:16], H(login_ticket), login_ticket)


Session = namedtuple("Session", "heartbeat_ms idle_timeout_ms max_payload expires_ms next_ticket sender receiver session_id exporter")


class Handshake:
    """One handshake of a client: `hello`, then `finish`, then `complete`.

    What must be random is drawn here, unless given by a test vector.
    """

    def __init__(self, identity, pins, challenge=None, ephemeral=None):
        self.identity, self.pins = identity, pins
        self.challenge = challenge or os.urandom(32)
        self.ephemeral = X25519PrivateKey.from_private_bytes(ephemeral) if ephemeral else X25519PrivateKey.generate()
        self.P = b"RankedServer/2\0" + bytes([identity.channel, 0]) + lv8(b"")
        self.ES = extract(b"RankedServer/2 auth", identity.AK)

    def hello(self, now_ms):
        """M1."""
        offer = bytes([1, VERSION]) + b"\x01" + struct.pack(">H", SUITE) + bytes([self.identity.channel])
        E_c = self.ephemeral.public_key().public_bytes_raw()
        payload = offer + self.pins.realm_id + self.identity.identity + self.challenge + E_c + lv16(b"") + lv16(b"")
        hdr25 = pack_hdr25(len(payload), 0, 0, M1, now_ms)
        self.T1 = self.P + hdr25 + payload
        self.sent_ms = now_ms
        return frame_of(hdr25, HM(EL(self.ES, "c hello", b"", 32), hdr25 + payload), payload)

    @staticmethod
    def check_server_hello_header(header):
        if header.msg_type == REJECT:
            require((header.payload_len, header.epoch, header.seq, header.hmac) == (3, 0, 0, bytes(32)), "a malformed Reject")
            return
        require(header.msg_type == M2 and header.payload_len <= 2048, "this is no ServerHello")
        require((header.epoch, header.seq) == (0, 0), "a ServerHello out of order")

    def finish(self, header, payload, now_ms):
        """Checks M2 in the order of section 4; M3."""
        hdr25 = hdr25_of(header)
        K_sh = EL(self.ES, "s hello", b"", 32)
        require(same(HM(K_sh, hdr25 + payload), header.hmac), "the hmac of M2 is wrong: the host does not know the auth key")
        reader = Reader(payload)
        version, suite, server_challenge, E_s = reader.number(1), reader.number(2), reader.take(32), reader.take(32)
        kem, channel_certificate = reader.lv16(2048), reader.take(116)
        reader.lv16(256)
        signed, server_sig = payload[: reader.at], reader.take(64)
        responded, challenge_response = payload[: reader.at], reader.take(32)
        reader.end()
        require((version, suite) == (VERSION, SUITE) and kem == b"", "the host chose what was not offered")
        channel_pub = self.pins.check_channel_certificate(channel_certificate, now_ms)
        self.TH_a = H(self.T1 + hdr25 + signed)
        require(verifies(channel_pub, "RankedServer/2 server-hello", self.TH_a, server_sig), "the host's signature is wrong")
        try:
            self.kex = self.ephemeral.exchange(X25519PublicKey.from_public_bytes(E_s))
        except ValueError:
            raise Refused("the host's key share is of small order") from None
        self.HS = extract(EL(self.ES, "derived", b"", 32), self.kex)
        self.TH_b = H(self.T1 + hdr25 + responded)
        expected = HM(EL(self.HS, "s response", b"", 32), self.challenge + self.TH_b)
        require(same(expected, challenge_response), "the host's response to the challenge is wrong")
        require(abs(header.timestamp_ms - now_ms) <= CLOCK_SKEW_MS_MAX, "the host's clock differs by more than two minutes")
        self.clock = HostClock(header.timestamp_ms, now_ms)
        self.T2 = self.T1 + hdr25 + payload
        self.TH_2 = H(self.T2)
        return self._client_finish(server_challenge, max(now_ms, self.sent_ms))

    def _client_finish(self, server_challenge, now_ms):
        plaintext = lv16(self.identity.credential) + lv16(b"")
        signature_len = 64 if self.identity.node_seed else 0
        hdr25 = pack_hdr25(len(plaintext) + 1 + signature_len + 32 + TAG_LEN, 1, 0, M3, now_ms)
        client_sig = b""
        if self.identity.node_seed:
            client_sig = sign(self.identity.node_seed, "RankedServer/2 client-finish", H(self.T2 + hdr25 + plaintext))
        plaintext += lv8(client_sig)
        plaintext += HM(EL(self.HS, "c proof", b"", 32), server_challenge + H(self.T2 + hdr25 + plaintext))
        self.T3 = self.T2 + hdr25 + plaintext
        self.sent_ms = now_ms
        return RecordKeys(EL(self.HS, "c hs", self.TH_2, 32)).seal(1, 0, M3, now_ms, plaintext)

    @staticmethod
    def check_server_finish_header(header):
        require(header.msg_type == M4 and TAG_LEN <= header.payload_len <= 1024, "this is no ServerFinish")
        require((header.epoch, header.seq) == (1, 0), "a ServerFinish out of order")

    def complete(self, header, payload, now_ms):
        """Checks M4; the session. No failure of a handshake owes a Close."""
        plaintext = RecordKeys(EL(self.HS, "s hs", self.TH_2, 32)).open(header, payload)
        try:
            self.clock.check(header.timestamp_ms, now_ms)
        except Refused as refused:
            raise Refused(str(refused)) from None
        reader = Reader(plaintext)
        heartbeat_ms, idle_timeout_ms, max_payload, expires_ms = (reader.number(length) for length in (4, 4, 4, 8))
        next_ticket = reader.lv16(48)
        reader.lv16(256)
        proven, server_proof = plaintext[: reader.at], reader.take(32)
        reader.end()
        require(len(next_ticket) in (0, 48), "the next login ticket is malformed")
        hdr25 = hdr25_of(header)
        expected = HM(EL(self.HS, "s done", b"", 32), H(self.T3 + hdr25 + proven))
        require(same(expected, server_proof), "the host's proof is wrong")
        self.TH_4 = H(self.T3 + hdr25 + plaintext)
        self.MS = extract(EL(self.HS, "derived", b"", 32), bytes(32))
        c_ap, s_ap = EL(self.MS, "c ap", self.TH_4, 32), EL(self.MS, "s ap", self.TH_4, 32)
        types = messages.TO_GAME_SERVER if self.identity.channel == S2S else messages.TO_PLAYER
        sender = Sender(c_ap, self.sent_ms, now_ms)
        receiver = Receiver(s_ap, types, max_payload, self.clock)
        session_id, exporter = EL(self.MS, "sid", self.TH_4, 16), EL(self.MS, "exp", self.TH_4, 32)
        return Session(heartbeat_ms, idle_timeout_ms, max_payload, expires_ms, next_ticket, sender, receiver, session_id, exporter)
