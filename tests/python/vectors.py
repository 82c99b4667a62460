"""Recomputes every value of tests/vectors/wire.json from its inputs, the host's side of the handshakes included, and lets the client of this
folder take part in both handshakes. Exits non-zero at the first deviation.

Taken as given: `inputs`, the times, the settings in M4, the plaintexts of the records and the fields of the messages. Everything else is computed here.
"""

import json
import pathlib
import re
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

import messages
from wire import (
    CLOSE, EL, H, HM, KEY_UPDATE, M1, M2, M3, M4, RDV, REJECT, S2S, Close, Handshake, Identity, Pins, RecordKeys, Refused, extract,
    frame_of, hdr25_of, lv8, lv16, node_public, pack_hdr25, parse_header, parse_reject, sign, verifies,
)

PAGE = pathlib.Path(__file__).parent.parent.parent / "docs" / "protocol.md"
VECTORS = pathlib.Path(__file__).parent.parent / "vectors" / "wire.json"


def unhex(text):
    return bytes.fromhex(text)


def split(frame):
    frame = unhex(frame) if isinstance(frame, str) else frame
    return parse_header(frame[:57]), frame[57:]


def compare(path, computed, given):
    """Every value, and no value left out. Returns how many were compared."""
    if isinstance(given, dict):
        missing = set(given) ^ set(computed)
        if missing:
            raise SystemExit(f"{path}: only one side has {sorted(missing)}")
        return sum(compare(f"{path}.{key}", computed[key], given[key]) for key in given)
    if isinstance(given, list):
        if len(given) != len(computed):
            raise SystemExit(f"{path}: {len(computed)} instead of {len(given)}")
        return sum(compare(f"{path}[{place}]", *pair) for place, pair in enumerate(zip(computed, given)))
    if isinstance(computed, bytes):
        computed = computed.hex()
    if computed != given or isinstance(computed, bool) != isinstance(given, bool):
        raise SystemExit(f"{path}:\n  computed {computed}\n  given    {given}")
    return 1


def inputs(given):
    """The random ones are hashes of their names."""
    computed = dict(given)
    for name, value in given.items():
        if isinstance(value, str) and name != "owner":
            computed[name] = H(b"rs2 vector " + name.encode())[: len(value) // 2]
    return computed


def certificate(i):
    """Section 3, "RSC2"."""
    commitment = H(b"RankedServer/2 secret\0" + i["cert_secret"])
    node_pub = node_public(i["node"])
    dates = struct.pack(">QQQ", i["not_before"], i["not_before"], i["certificate_not_after"])
    signed = b"RSC2\x02\x01\x02\x00" + i["realm"] + struct.pack(">I", i["key_epoch"]) + i["uuid"] + dates + commitment + node_pub
    signed += struct.pack(">H", i["scope"]) + lv8(i["owner"].encode()) + lv16(b"")
    signature = sign(i["root"], "RankedServer/2 cert", signed)
    return {"encoded": signed + signature, "node_pub": node_pub, "secret_commitment": commitment, "signature": signature}


def channel_certificate(i):
    """Section 3, channel certificate."""
    channel_pub = node_public(i["chan"])
    signed = channel_pub + struct.pack(">QQI", i["not_before"], i["channel_certificate_not_after"], i["key_epoch"])
    signature = sign(i["root"], "RankedServer/2 channel-key", i["realm"] + signed)
    return {"channel_pub": channel_pub, "encoded": signed + signature, "signature": signature}


def record(secret, epoch, seq, msg_type, timestamp_ms, plaintext):
    """One record and its parts."""
    keys = RecordKeys(secret)
    frame = keys.seal(epoch, seq, msg_type, timestamp_ms, plaintext)
    header, payload = split(frame)
    hdr25 = hdr25_of(header)
    return {
        "aad": hdr25, "ciphertext": payload[:-16], "epoch": epoch, "frame": frame, "hdr25": hdr25, "hmac": header.hmac, "iv": keys.iv,
        "key": keys.key, "mac": keys.mac, "msg_type": msg_type, "nonce": keys.nonce(epoch, seq), "nonce_field": struct.pack(">IQ", epoch, seq),
        "plaintext": plaintext, "seq": seq, "tag": payload[-16:], "timestamp_ms": timestamp_ms,
    }  # fmt: skip


def key_row(secret):
    keys = RecordKeys(secret)
    return {"iv": keys.iv, "key": keys.key, "mac": keys.mac, "secret": secret}


def public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def handshake(channel, i, given, encoded_certificate, encoded_channel_certificate):
    """Section 4, as both sides see it; then the records of section 5 and 6."""
    v = {}
    if channel == S2S:
        identity, credential, v["AK"] = i["uuid"], encoded_certificate, HM(i["pepper"], i["cert_secret"])
    else:
        ticket = i["ticket_id"] + i["ticket_secret"]
        identity, credential, v["AK"] = i["ticket_id"], ticket, H(ticket)
    v["P"] = b"RankedServer/2\0" + bytes([channel, 0, 0])
    v["ES"] = extract(b"RankedServer/2 auth", v["AK"])
    v["K_ch"], v["K_sh"] = EL(v["ES"], "c hello", b"", 32), EL(v["ES"], "s hello", b"", 32)
    v["E_c"], v["E_s"] = public(i["ec"]), public(i["es"])
    v["kex"] = X25519PrivateKey.from_private_bytes(i["ec"]).exchange(X25519PublicKey.from_public_bytes(v["E_s"]))
    v["ES_derived"] = EL(v["ES"], "derived", b"", 32)
    v["HS"] = extract(v["ES_derived"], v["kex"])
    v["HS_derived"] = EL(v["HS"], "derived", b"", 32)

    v["M1_payload"] = unhex("0102" "010001") + bytes([channel]) + i["realm"] + identity + i["cchal"] + v["E_c"] + bytes(4)
    v["M1_hdr25"] = pack_hdr25(len(v["M1_payload"]), 0, 0, M1, split(given["M1"])[0].timestamp_ms)
    v["M1_hmac"] = HM(v["K_ch"], v["M1_hdr25"] + v["M1_payload"])
    v["M1"] = frame_of(v["M1_hdr25"], v["M1_hmac"], v["M1_payload"])
    T1 = v["P"] + v["M1_hdr25"] + v["M1_payload"]

    payload = b"\x02\x00\x01" + i["schal"] + v["E_s"] + lv16(b"") + encoded_channel_certificate + lv16(b"")
    v["M2_hdr25"] = pack_hdr25(len(payload) + 64 + 32, 0, 0, M2, split(given["M2"])[0].timestamp_ms)
    v["TH_a"] = H(T1 + v["M2_hdr25"] + payload)
    v["server_sig"] = sign(i["chan"], "RankedServer/2 server-hello", v["TH_a"])
    payload += v["server_sig"]
    v["TH_b"] = H(T1 + v["M2_hdr25"] + payload)
    v["s_response_key"] = EL(v["HS"], "s response", b"", 32)
    v["challenge_response"] = HM(v["s_response_key"], i["cchal"] + v["TH_b"])
    v["M2_payload"] = payload + v["challenge_response"]
    v["M2_hmac"] = HM(v["K_sh"], v["M2_hdr25"] + v["M2_payload"])
    v["M2"] = frame_of(v["M2_hdr25"], v["M2_hmac"], v["M2_payload"])
    T2 = T1 + v["M2_hdr25"] + v["M2_payload"]
    v["TH_2"] = H(T2)

    c_hs, s_hs = EL(v["HS"], "c hs", v["TH_2"], 32), EL(v["HS"], "s hs", v["TH_2"], 32)
    v["c_hs"], v["s_hs"] = key_row(c_hs), key_row(s_hs)
    signature_len = 64 if channel == S2S else 0
    plaintext = lv16(credential) + lv16(b"")
    m3_ms = given["M3"]["timestamp_ms"]
    hdr25 = pack_hdr25(len(plaintext) + 1 + signature_len + 32 + 16, 1, 0, M3, m3_ms)
    v["client_sig"] = b""
    if channel == S2S:
        v["client_sig_hash"] = H(T2 + hdr25 + plaintext)
        v["client_sig"] = sign(i["node"], "RankedServer/2 client-finish", v["client_sig_hash"])
    plaintext += lv8(v["client_sig"])
    v["client_proof_hash"] = H(T2 + hdr25 + plaintext)
    v["c_proof_key"] = EL(v["HS"], "c proof", b"", 32)
    v["client_proof"] = HM(v["c_proof_key"], i["schal"] + v["client_proof_hash"])
    plaintext += v["client_proof"]
    v["M3"] = record(c_hs, 1, 0, M3, m3_ms, plaintext)
    T3 = T2 + hdr25 + plaintext

    settings = unhex(given["M4"]["plaintext"])[:20]
    next_ticket = i["next_ticket_id"] + i["next_ticket_secret"] if channel == RDV else b""
    plaintext = settings + lv16(next_ticket) + lv16(b"")
    m4_ms = given["M4"]["timestamp_ms"]
    hdr25 = pack_hdr25(len(plaintext) + 32 + 16, 1, 0, M4, m4_ms)
    v["server_proof_hash"] = H(T3 + hdr25 + plaintext)
    v["s_done_key"] = EL(v["HS"], "s done", b"", 32)
    v["server_proof"] = HM(v["s_done_key"], v["server_proof_hash"])
    plaintext += v["server_proof"]
    v["M4"] = record(s_hs, 1, 0, M4, m4_ms, plaintext)
    v["TH_4"] = H(T3 + hdr25 + plaintext)
    v["MS"] = extract(v["HS_derived"], bytes(32))
    c_ap, s_ap = EL(v["MS"], "c ap", v["TH_4"], 32), EL(v["MS"], "s ap", v["TH_4"], 32)
    v["c_ap_0"], v["s_ap_0"] = key_row(c_ap), key_row(s_ap)
    if channel == S2S:
        v["c_ap_1"] = key_row(EL(c_ap, "upd", b"", 32))
    v["exporter"], v["session_id"] = EL(v["MS"], "exp", v["TH_4"], 32), EL(v["MS"], "sid", v["TH_4"], 16)
    v["records"] = records({"client": c_ap, "server": s_ap}, given["records"])
    return v


def sender_of(given):
    """Client to server or the other way: by the ranges of types, and by name for the two that both sides send."""
    if given["msg_type"] in (KEY_UPDATE, CLOSE):
        return "client" if "client to server" in given["name"] else "server"
    return "client" if given["msg_type"] in {**messages.FROM_GAME_SERVER, **messages.FROM_PLAYER} else "server"


def records(secrets, given_records):
    """Seals each plaintext; a key update changes the secret of its direction."""
    epochs, seqs, out = {"client": 2, "server": 2}, {"client": 0, "server": 0}, []
    for given in given_records:
        side, msg_type, plaintext = sender_of(given), given["msg_type"], unhex(given["plaintext"])
        sealed = record(secrets[side], epochs[side], seqs[side], msg_type, given["timestamp_ms"], plaintext)
        out.append({"name": given["name"], **sealed})
        seqs[side] += 1
        if msg_type == KEY_UPDATE:
            secrets[side], epochs[side], seqs[side] = EL(secrets[side], "upd", b"", 32), epochs[side] + 1, 0
    return out


def take_part(channel, i, given, pins, encoded_certificate):
    """The client of this folder with the vector's randomness: says M1 and M3, accepts M2 and M4, opens and seals the records."""
    if channel == S2S:
        identity = Identity.of_game_server(encoded_certificate, i["cert_secret"], i["pepper"], i["node"])
    else:
        identity = Identity.of_player(i["ticket_id"] + i["ticket_secret"])
    (m1, _), m3, (m4, m4_payload) = split(given["M1"]), given["M3"], split(given["M4"]["frame"])

    def until_hello(pins=pins):
        client = Handshake(identity, pins, i["cchal"], i["ec"])
        return client, client.hello(m1.timestamp_ms)

    def until_finish(m2, m2_payload, pins=pins):
        client, _ = until_hello(pins)
        client.check_server_hello_header(m2)
        return client, client.finish(m2, m2_payload, m3["timestamp_ms"])

    def until_session(m4, m4_payload):
        client, _ = until_finish(*split(given["M2"]))
        client.check_server_finish_header(m4)
        return client.complete(m4, m4_payload, m3["timestamp_ms"])

    compare("M1 of the client", until_hello()[1], given["M1"])
    compare("M3 of the client", until_finish(*split(given["M2"]))[1], m3["frame"])
    session = until_session(m4, m4_payload)
    compare("session id", session.session_id, given["session_id"])
    compare("exporter", session.exporter, given["exporter"])
    compare("next login ticket", session.next_ticket, (i["next_ticket_id"] + i["next_ticket_secret"] if channel == RDV else b"").hex())
    speak(session, given["records"])
    for wrong in (Pins(pins.realm_id, {}), Pins(pins.realm_id, {key: i["uuid"] * 2 for key in pins.signing_keys}), Pins(bytes(16), pins.signing_keys)):
        must_refuse("a host that is not pinned", lambda: until_finish(*split(given["M2"]), wrong))
    by_thief = unhex(given["K_sh"]), unhex(given["s_hs"]["mac"])
    return must_refuse_changes(given["M2"], by_thief[0], until_finish) + must_refuse_changes(given["M4"]["frame"], by_thief[1], until_session)


def must_refuse(what, accept):
    try:
        accept()
    except Refused:
        return
    raise SystemExit(f"the client took {what}")


def must_refuse_changes(frame, mac_key, accept):
    """Each byte changed, one at a time: as it comes, and with the hmac made right again by somebody who knows its key."""
    frame = unhex(frame)
    for place in range(len(frame)):
        changed = bytearray(frame)
        changed[place] ^= 1
        header, payload = split(bytes(changed))
        must_refuse(f"a message whose byte {place} was changed", lambda: accept(header, payload))
        if not 4 <= place < 36:
            mended = header._replace(hmac=HM(mac_key, hdr25_of(header) + payload))
            must_refuse(f"a message whose byte {place} was changed, its hmac mended", lambda: accept(mended, payload))
    return 2 * len(frame) - 32


def speak(session, given_records):
    """Both directions through the client's own sender and receiver."""
    for given in given_records:
        now_ms, msg_type, plaintext = given["timestamp_ms"], given["msg_type"], unhex(given["plaintext"])
        if sender_of(given) == "client":
            update = msg_type == KEY_UPDATE
            frame = session.sender.update_key(now_ms) if update else session.sender.seal(msg_type, plaintext, now_ms)
            compare(given["name"], frame, given["frame"])
            continue
        header, payload = split(given["frame"])
        session.receiver.check_header(header)
        opened = session.receiver.open(header, payload, now_ms)
        if msg_type == CLOSE:
            compare(given["name"], list(opened), list(Close(0, 3, 0, "")))
        else:
            compare(given["name"], opened, given["plaintext"])
        for again in (session.receiver.check_header, lambda header: session.receiver.open(header, payload, now_ms)):
            try:
                again(header)
            except Refused:
                break
        else:
            raise SystemExit(f"{given['name']}: taken twice")


def message(given):
    """Encodes the fields, decodes the bytes."""
    name, limit = messages.ALL[given["msg_type"]]
    fields = convert(name, given["fields"], unhex)
    decoded = convert(name, messages.decode(name, unhex(given["bytes"])), bytes.hex)
    return {"bytes": messages.encode(name, fields), "fields": decoded, "msg_type": given["msg_type"], "name": name, "payload_len_max": limit}


def convert(name, values, of_bytes):
    """The values with their byte strings converted."""
    converted = dict(values)
    for text in filter(None, messages.SCHEMAS[name].split(" · ")):
        _, field, kind = text.split()
        field = field.rstrip("*?")
        value = values[field]
        if kind == "bytes":
            converted[field] = of_bytes(value)
        elif kind in messages.SCHEMAS and value is not None:
            converted[field] = [convert(kind, each, of_bytes) for each in value] if isinstance(value, list) else convert(kind, value, of_bytes)
    return converted


def reject(given):
    """Section 6: busy, version or clock skew, with the host's clock."""
    header, payload = split(given)
    code, retry_after_s = parse_reject(payload)
    payload = struct.pack(">BH", code, retry_after_s)
    return frame_of(pack_hdr25(3, 0, 0, REJECT, header.timestamp_ms), bytes(32), payload)


def page_messages():
    """The tables of section 8 as the page has them: name -> (type, limit, fields); `LogEntries` and `Enqueue` hold a second message in braces."""
    section = PAGE.read_text(encoding="utf-8").partition("## 8.")[2].partition("### Rules")[0]
    rows = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 4 or cells[1] in ("message", "---"):
            continue
        number, name, limit, fields = cells
        fields = re.sub(r'\([^()]*\)| "[^"]*"', "", fields)
        inner = re.search(r"(\w+) \{([^}]*)\}", fields)
        if inner:
            rows[inner[1]] = (None, None, tidy(inner[2]))
            fields = fields.replace(inner[0], inner[1])
        rows[name] = (int(number, 16) if number else None, int(limit) if limit else None, tidy(fields))
    return rows


def tidy(fields):
    return "" if fields == "none" else " · ".join(" ".join(field.split()) for field in fields.split("·"))


def check_page():
    """The page says what the messages of this folder are."""
    known = {name: (None, None, fields) for name, fields in messages.SCHEMAS.items()}
    known.update({name: (number, limit, messages.SCHEMAS[name]) for number, (name, limit) in messages.ALL.items()})
    page = page_messages()
    for name in sorted(set(known) | set(page)):
        if known.get(name) != page.get(name):
            raise SystemExit(f"{name}:\n  here     {known.get(name)}\n  the page {page.get(name)}")
    return len(page)


def main():
    rows = check_page()
    given = json.loads(VECTORS.read_text())
    computed = {"about": given["about"], "inputs": inputs(given["inputs"])}
    i = computed["inputs"]
    computed["certificate"], computed["channel_certificate"] = certificate(i), channel_certificate(i)
    encoded, channel_encoded = computed["certificate"]["encoded"], computed["channel_certificate"]["encoded"]
    computed["s2s"] = handshake(S2S, i, given["s2s"], encoded, channel_encoded)
    computed["rdv"] = handshake(RDV, i, given["rdv"], encoded, channel_encoded)
    computed["messages"] = [message(each) for each in given["messages"]]
    computed["reject"] = reject(given["reject"])
    values = compare("wire.json", computed, given)

    root_pub = node_public(i["root"])
    signed, signature = encoded[:-64], encoded[-64:]
    if not verifies(root_pub, "RankedServer/2 cert", signed, signature) or verifies(root_pub, "RankedServer/2 cert", signed + b"x", signature):
        raise SystemExit("the certificate's signature")
    pins = Pins(i["realm"], {i["key_epoch"]: root_pub})
    refused = take_part(S2S, i, given["s2s"], pins, encoded) + take_part(RDV, i, given["rdv"], pins, encoded)
    unnamed = set(messages.ALL) - {each["msg_type"] for each in given["messages"]}
    if unnamed:
        raise SystemExit(f"no vector for {sorted(unnamed)}")
    print(f"{values} values of wire.json recomputed; both handshakes replayed; {refused} altered handshake messages refused; {rows} messages as on the page")


if __name__ == "__main__":
    sys.exit(main())
