#!/usr/bin/env python3
"""Records as producers other than ours make them: aggregated by AWS's own Python library, compressed by the formats'
own libraries. `vectors.json` holds what this prints; tests of the sidecar read it.

    pip install aws_kinesis_agg six zstandard lz4 && python3 make.py > vectors.json
"""

import gzip
import hashlib
import json
import sys

import lz4.frame
import zstandard
from aws_kinesis_agg.aggregator import RecordAggregator

COMPRESS = {
    "plain": lambda data: data,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": lambda data: zstandard.ZstdCompressor(level=9, write_checksum=True).compress(data),
    "zstd_streamed": lambda data: streamed(data),
    "lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
}


def streamed(data: bytes) -> bytes:
    """A frame that does not say how large it is, as a stream is compressed."""
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    return compressor.compress(data) + compressor.flush()


def event(number: int) -> dict:
    """A row of the table `clicks` of the end-to-end tests."""
    return {"event_id": number, "ts": f"2026-01-02T03:04:{number % 60:02}Z", "user_id": number % 7, "kind": "view",
            "item": f"item-{number}", "device": {"os": "ios", "note": "x" * (number % 40)}}


def text(number: int) -> bytes:
    return json.dumps(event(number)).encode()


def vector(name: str, record: bytes, payloads: list[tuple[str, bytes]], events: int) -> dict:
    """What the tests compare: the keys and digests of the user records' payloads, and how many events they hold."""
    inner = [{"key": key, "sha256": hashlib.sha256(data).hexdigest()} for key, data in payloads]
    return {"name": name, "record": record.hex(), "inner": inner, "events": events}


def aggregated(name: str, first: int, count: int, compress, hash_keys: bool, per_payload: int = 1) -> dict:
    aggregator = RecordAggregator()
    payloads = []
    for number in range(first, first + count, per_payload):
        key = f"user-{number % 5}" if number % 3 else "ключ-🔑"
        data = compress(b"\n".join(text(n) for n in range(number, number + per_payload)))
        aggregator.add_user_record(key, data, str(number * 2**100) if hash_keys and number % 2 else None)
        payloads.append((key, data))
    _, _, record = aggregator.clear_and_get().get_contents()
    return vector(name, record, payloads, count)


def main() -> None:
    vectors = []
    first = 0
    for name, compress in COMPRESS.items():
        vectors.append(aggregated(f"aggregated {name}", first, 40, compress, name == "gzip"))
        lines = b"".join(text(n) + b"\n" for n in range(first + 40, first + 60))
        vectors.append(vector(f"lines {name}", compress(lines), [], 20))
        vectors.append(aggregated(f"aggregated lines {name}", first + 60, 40, compress, True, 8))
        first += 100
    # Good, no event, cut off, two good lines and a bad one between them.
    mixed = RecordAggregator()
    cut = gzip.compress(text(901), mtime=0)[:-1]
    for key, data in [("a", text(900)), ("b", b"nonsense"), ("c", cut), ("d", text(902) + b"\n{}\n" + text(903))]:
        mixed.add_user_record(key, data)
    blanks = b" " * (10 << 20)
    found = {
        "sound": vectors,
        "mixed": mixed.clear_and_get().get_contents()[2].hex(),
        # Just within the default limit of what a record may decompress to, and just beyond it.
        "large": gzip.compress(blanks[: -len(text(904))] + text(904), mtime=0).hex(),
        "bomb": gzip.compress(blanks + text(905), mtime=0).hex(),
    }
    json.dump(found, sys.stdout, indent=0, ensure_ascii=False)
    print()


main()
