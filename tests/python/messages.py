"""Application messages: section 8 of docs/protocol.md as data, and the part of Protobuf that they need.

A message is a dict from field name to value: int, float, bool, str, bytes, dict, or a list of those. A field that is not set has its
default; an optional field (`?`) or a message that is not set is None.
"""

import struct

# The tables of section 8, in their notation: `number name type`; `*` repeated (numbers packed), `?` optional.
SCHEMAS = {
    "Heartbeat": "1 capacity uint32 · 2 matches uint32 · 3 players uint32 · 4 version string · 5 load float · 6 region string · "
    "7 address string · 8 name string",
    "AllowlistAck": "1 match_id uint64 · 2 accepted bool · 3 reason string",
    "MatchStarted": "1 match_id uint64",
    "PlayerJoined": "1 match_id uint64 · 2 player_id uint64",
    "PlayerLeft": "1 match_id uint64 · 2 player_id uint64",
    "MatchReport": "1 report_id bytes · 2 match_id uint64 · 3 duration_s uint32 · 4 teams* TeamReport · 5 totals* double · 6 map string · "
    "7 mode string",
    "TeamReport": "1 place uint32 · 2 score? double · 3 players* PlayerReport · 4 side string",
    "PlayerReport": "1 player_id uint64 · 2 stats* double · 3 presence? double",
    "LogEntries": "1 entries* LogEntry",
    "LogEntry": "1 level enum · 2 at_ms uint64 · 3 message string",
    "AllowPlayers": "1 match_id uint64 · 2 queue string · 3 players* AllowedPlayer · 4 expires_at_ms uint64 · 5 stats* string · "
    "6 totals* string · 7 region string",
    "AllowedPlayer": "1 player_id uint64 · 2 name string · 3 team uint32 · 4 join_token_sha256 bytes",
    "ReportAck": "1 report_id bytes · 2 match_id uint64 · 3 disposition enum · 4 reasons* Reason",
    "MatchVoided": "1 match_id uint64 · 2 reason Reason",
    "HeartbeatAck": "1 received_at_ms uint64 · 2 name string · 3 idle_reason string",
    "ReportRefused": "1 report_id bytes · 2 match_id uint64 · 3 reason Reason",
    "Reason": "1 code string · 2 detail string",
    "Enqueue": "1 queue string · 2 regions* RegionLatency",
    "RegionLatency": "1 region string · 2 latency_ms uint32",
    "Dequeue": "",
    "KeepAlive": "",
    "QueueStatus": "1 state enum · 2 queue string · 3 waited_ms uint64 · 4 players_waiting uint32 · 5 slots_free uint32 · 6 limit string · "
    "7 estimated_wait_ms? uint64 · 8 notice Notice",
    "Assignment": "1 match_id uint64 · 2 queue string · 3 address string · 4 join_token bytes · 5 expires_at_ms uint64 · 6 team uint32 · "
    "7 region string · 8 server_id bytes · 9 server_name string",
    "Refusal": "1 msg_type uint32 · 2 notice Notice · 3 retry_after_ms uint32",
    "MatchEnded": "1 match_id uint64 · 2 ending enum · 3 notice Notice · 4 place? uint32 · 5 visible_before? double · "
    "6 visible_after? double",
    "KeepAliveAck": "1 received_at_ms uint64",
    "Notice": "1 code string · 2 detail string",
}

# Per direction: msg_type -> (message, limit of payload_len).
FROM_GAME_SERVER = {
    0x10: ("Heartbeat", 2048),
    0x11: ("AllowlistAck", 1024),
    0x12: ("MatchStarted", 64),
    0x13: ("PlayerJoined", 64),
    0x14: ("PlayerLeft", 64),
    0x15: ("MatchReport", 65536),
    0x16: ("LogEntries", 65536),
}
TO_GAME_SERVER = {
    0x30: ("AllowPlayers", 65536),
    0x31: ("ReportAck", 65536),
    0x32: ("MatchVoided", 4096),
    0x33: ("HeartbeatAck", 4096),
    0x35: ("ReportRefused", 4096),
}
FROM_PLAYER = {0x50: ("Enqueue", 8192), 0x51: ("Dequeue", 64), 0x53: ("KeepAlive", 64)}
TO_PLAYER = {
    0x70: ("QueueStatus", 4096),
    0x71: ("Assignment", 4096),
    0x72: ("Refusal", 4096),
    0x73: ("MatchEnded", 4096),
    0x74: ("KeepAliveAck", 64),
}
ALL = {**FROM_GAME_SERVER, **TO_GAME_SERVER, **FROM_PLAYER, **TO_PLAYER}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIRE_TYPES = {"uint32": _VARINT, "uint64": _VARINT, "enum": _VARINT, "bool": _VARINT, "double": _FIXED64, "float": _FIXED32}
_DEFAULTS = {"uint32": 0, "uint64": 0, "enum": 0, "bool": False, "double": 0.0, "float": 0.0, "string": "", "bytes": b""}


class Malformed(Exception):
    """The bytes are not a message of the expected kind. The sender's fault."""


class _Field:
    def __init__(self, text):
        number, name, self.type = text.split()
        self.number = int(number)
        self.repeated, self.optional = name.endswith("*"), name.endswith("?")
        self.name = name.rstrip("*?")
        self.is_message = self.type in SCHEMAS
        self.packed = self.repeated and self.type in _WIRE_TYPES

    def default(self):
        if self.repeated:
            return []
        return None if self.optional or self.is_message else _DEFAULTS[self.type]


_FIELDS = {message: [_Field(text) for text in schema.split(" · ") if text] for message, schema in SCHEMAS.items()}


def encode(message, values):
    """The bytes of a message. A field that its schema does not know is a KeyError: our own fault."""
    fields = _FIELDS[message]
    unknown = set(values) - {field.name for field in fields}
    if unknown:
        raise KeyError(f"{message} has no {sorted(unknown)}")
    out = bytearray()
    for field in fields:
        value = values.get(field.name, field.default())
        if field.packed:
            if value:
                packed = b"".join(_encode_scalar(field.type, each) for each in value)
                out += _key(field, _BYTES) + _varint(len(packed)) + packed
        elif field.repeated:
            for each in value:
                out += _encode_single(field, each)
        elif value is None or (not field.optional and not field.is_message and value == _DEFAULTS[field.type]):
            continue
        else:
            out += _encode_single(field, value)
    return bytes(out)


def decode(message, data):
    """The values of a message, with defaults; unknown fields are ignored. Raises `Malformed`."""
    fields = {field.number: field for field in _FIELDS[message]}
    values = {field.name: field.default() for field in fields.values()}
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        wire_type, number = key & 7, key >> 3
        if number == 0:
            raise Malformed(f"{message}: field number 0")
        raw, at = _read_raw(data, at, wire_type)
        field = fields.get(number)
        if field is None:
            continue
        if field.packed and wire_type == _BYTES:
            values[field.name] += _decode_packed(field.type, raw)
            continue
        if wire_type != _WIRE_TYPES.get(field.type, _BYTES):
            raise Malformed(f"{message}.{field.name}: wire type {wire_type}")
        value = _decode_single(field, raw)
        if field.repeated:
            values[field.name].append(value)
        else:
            values[field.name] = value
    return values


def _key(field, wire_type):
    return _varint(field.number << 3 | wire_type)


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _encode_scalar(kind, value):
    if kind == "double":
        return struct.pack("<d", value)
    if kind == "float":
        return struct.pack("<f", value)
    return _varint(int(value))


def _encode_single(field, value):
    if field.type in _WIRE_TYPES:
        return _key(field, _WIRE_TYPES[field.type]) + _encode_scalar(field.type, value)
    if field.is_message:
        value = encode(field.type, value)
    elif field.type == "string":
        value = value.encode()
    return _key(field, _BYTES) + _varint(len(value)) + value


def _read_varint(data, at):
    value = 0
    for place in range(10):
        if at + place >= len(data):
            raise Malformed("a number is cut off")
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if value >= 1 << 64:
                raise Malformed("a number is longer than 64 bits")
            return value, at + place + 1
    raise Malformed("a number is longer than 64 bits")


def _read_raw(data, at, wire_type):
    if wire_type == _VARINT:
        return _read_varint(data, at)
    if wire_type == _BYTES:
        size, at = _read_varint(data, at)
    elif wire_type in (_FIXED64, _FIXED32):
        size = 8 if wire_type == _FIXED64 else 4
    else:
        raise Malformed(f"wire type {wire_type}")
    if at + size > len(data):
        raise Malformed("a field is cut off")
    return data[at : at + size], at + size


def _decode_scalar(kind, raw):
    if kind == "double":
        return struct.unpack("<d", raw)[0]
    if kind == "float":
        return struct.unpack("<f", raw)[0]
    if kind == "bool":
        return raw != 0
    return raw if kind == "uint64" else raw & 0xFFFF_FFFF


def _decode_single(field, raw):
    if field.type in _WIRE_TYPES:
        return _decode_scalar(field.type, raw)
    if field.is_message:
        return decode(field.type, raw)
    if field.type == "string":
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise Malformed(f"{field.name} is not UTF-8") from None
    return bytes(raw)


def _decode_packed(kind, raw):
    values, at = [], 0
    while at < len(raw):
        single, at = _read_raw(raw, at, _WIRE_TYPES[kind])
        values.append(_decode_scalar(kind, single))
    return values
