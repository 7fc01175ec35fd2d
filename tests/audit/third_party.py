#!/usr/bin/env python3
"""A verifier written from docs/formats.md alone: signature, tree, chunks and the rows of one table.

Usage: third_party.py PUBLIC_KEY DIGEST TABLE < lines
A line is JSON: {"chunk": {…}} as strata.audit_chunks has it (bytea in hexadecimal, changed_at in microseconds since 2000),
or {"row": {…}} as the table has it. Knows integers, text and boolean: enough to see that the page suffices.
"""

import base64
import hashlib
import json
import struct
import sys
from collections import Counter

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TAGS = {"boolean": 1, "smallint": 2, "integer": 3, "bigint": 4, "text": 8}
NOT_ROWS = ("state", "state_rows")


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1" + root(leaves[:k]) + root(leaves[k:]))


def opened(key: str, note: str) -> tuple[str, int, bytes]:
    """Origin, size and root of a digest that the key has signed."""
    name, key_id, encoded = key.strip().split("+", 2)
    public = base64.b64decode(encoded)
    assert public[0] == 1 and len(public) == 33, "not an Ed25519 key"
    assert sha(name.encode() + b"\n" + public)[:4].hex() == key_id, "the key is not that of its id"
    text, signatures = note[: note.rindex("\n\n") + 1], note[note.rindex("\n\n") + 2 :]
    for line in signatures.splitlines():
        mark, signer, signed = line.split(" ")
        signature = base64.b64decode(signed)
        if mark == "—" and signer == name and signature[:4].hex() == key_id:
            try:
                Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature[4:], text.encode())
            except InvalidSignature:
                sys.exit("the signature is wrong")
            origin, size, encoded_root = text.splitlines()[:3]
            return origin, int(size), base64.b64decode(encoded_root)
    sys.exit("no signature by that key")


def text(value: str | None) -> bytes:
    if value is None:
        return b"\xff\xff\xff\xff"
    data = value.encode()
    return struct.pack(">I", len(data)) + data


def record(chunk: dict) -> bytes:
    def rows(which: str) -> bytes:
        stored = bytes.fromhex(chunk[which] or "")
        entries = [stored[at : at + 40] for at in range(0, len(stored), 40)]
        assert entries == sorted(entries), "entries are not sorted"
        leaves = [entry[:32] for entry in entries]
        return struct.pack(">I", len(entries)) + root(leaves) + sha(b"".join(entry[32:] for entry in entries))

    return b"".join((
        b"\1", struct.pack(">Q", chunk["chunk_id"]), bytes.fromhex(chunk["table"].replace("-", "")), text(chunk["operation"]),
        struct.pack(">IqQQ", chunk["schema"], chunk["changed_at"], int(chunk["xid"]), chunk["system_identifier"] % 2**64),
        rows("added"), rows("removed"),
        *(text(chunk[name]) for name in ("session_role", "role", "application", "client", "context", "detail")),
    ))


def value(kind: str, given: object) -> bytes:
    if kind == "boolean":
        return b"\1" if given else b"\0"
    if kind == "text":
        return given.encode()
    return given.to_bytes({"smallint": 2, "integer": 4, "bigint": 8}[kind], "big", signed=True)


def row_leaf(table: str, described: dict, row: dict) -> bytes:
    data = b"\0\1" + bytes.fromhex(table.replace("-", ""))
    for number, column in sorted((int(number), column) for number, column in described["columns"].items()):
        given = row[column["name"]]
        absent = column.get("absent")
        encoded = None if given is None else value(column["type"], given)
        if encoded == (bytes.fromhex(absent) if absent else None):
            continue
        tag, encoded = (0, b"") if encoded is None else (TAGS[column["type"]], encoded)
        data += struct.pack(">IBI", number, tag, len(encoded)) + encoded
    return sha(data)


def main() -> None:
    key, digest, table = sys.argv[1:]
    origin, size, signed_root = opened(open(key, encoding="utf-8").read(), open(digest, encoding="utf-8").read())
    lines = [json.loads(line) for line in sys.stdin]
    chunks = [line["chunk"] for line in lines if "chunk" in line]
    sealed = sorted((c for c in chunks if c["log_index"] is not None), key=lambda c: c["log_index"])[:size]
    assert [c["log_index"] for c in sealed] == list(range(size)), "the log has gaps"
    if root([sha(b"\0" + record(chunk)) for chunk in sealed]) != signed_root:
        sys.exit("the log is not the one that was signed")
    described, there = None, Counter()
    mine = sorted((c for c in chunks if c["table"] == table), key=lambda c: c["chunk_id"])
    for chunk in mine:
        record(chunk)
        if chunk["operation"] in ("enabled", "rebaselined", "columns"):
            described = json.loads(chunk["detail"])
        if chunk["operation"] == "baseline":
            there.clear()
        if chunk["operation"] in NOT_ROWS:
            continue
        for which, sign in (("added", 1), ("removed", -1)):
            stored = bytes.fromhex(chunk[which] or "")
            for at in range(0, len(stored), 40):
                there[stored[at : at + 32]] += sign
    found = Counter(row_leaf(table, described, line["row"]) for line in lines if "row" in line)
    if +there != found:
        sys.exit("the table is not what the log says")
    print(f"{size} leaves of {origin} and {sum(found.values())} rows: sound")


main()
