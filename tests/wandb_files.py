"""Reads the files of offline W&B runs: a LevelDB log of protobuf messages."""

from __future__ import annotations

import json
import struct
import time


def wandb_records(path):
    """All records of an offline run file."""
    from wandb.proto.wandb_internal_pb2 import Record

    data = path.read_bytes()
    assert data[:4] == b":W&B"
    position, parts, block = 7, b"", 32768
    while position + 7 <= len(data):
        if block - position % block < 7:
            position += block - position % block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        if kind == 0 or position + 7 + length > len(data):
            break
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def finished(path):
    """The records of a run that has ended; W&B's own process may close its file a moment later."""
    records: list = []
    for _ in range(200):
        records = list(wandb_records(path))
        if records and records[-1].WhichOneof("record_type") == "exit":
            break
        time.sleep(0.1)
    return records


def rows(records):
    """What was logged, a dict a row."""
    return [
        {".".join([i.key] if i.key else i.nested_key): json.loads(i.value_json) for i in h.item}
        for h in (r.history for r in records if r.WhichOneof("record_type") == "history")
    ]
