"""Reads a topic by aiokafka, from its start to its end as of now, and prints what Dump.java prints: a line a record,
with partition, offset, digest of the content, digest of the key, 1 for a tombstone, number. content.rs makes the same
digests."""

import asyncio
import struct
import sys
import time

from aiokafka import AIOKafkaConsumer, TopicPartition


def fnv(data):
    hash = 0xCBF29CE484222325
    for byte in data:
        hash = (hash ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return hash


def field(data):
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def digest(record):
    parts = [struct.pack(">q", record.timestamp), field(record.key), field(record.value)]
    # What the mirror itself writes on records of shared topics is no content.
    headers = [header for header in record.headers if not header[0].startswith("isomirror.origin")]
    parts.append(struct.pack(">i", len(headers)))
    for name, value in headers:
        parts += [field(name.encode()), field(value)]
    return fnv(b"".join(parts))


def line(record, number):
    numbers = [value for name, value in record.headers if name == number]
    return (
        f"{record.partition} {record.offset} {digest(record):x} {fnv(record.key or b''):x} "
        f"{int(record.value is None)} {numbers[-1].hex() if numbers else '-'}"
    )


async def main(bootstrap, topic, partitions, level, number, stranger):
    all = [TopicPartition(topic, partition) for partition in range(int(partitions))]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level=level,
        auto_offset_reset="none",
        max_partition_fetch_bytes=8 << 20,
    )
    async with consumer:
        consumer.assign(all)
        starts = await consumer.beginning_offsets(all)
        # With read_committed this is the last stable offset.
        ends = await consumer.end_offsets(all)
        for partition, start in starts.items():
            consumer.seek(partition, start)
        heard = time.monotonic()
        # The position goes over markers and gaps that no record tells of.
        while left := [p for p in all if await consumer.position(p) < ends[p]]:
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                heard = time.monotonic()
                for record in records:
                    if record.offset < ends[partition] and not is_of(stranger, record):
                        print(line(record, number))
            if time.monotonic() - heard > 60:
                sys.exit(f"nothing read for 60 s; not at their ends: {left}")


def is_of(stranger, record):
    return any(name == stranger for name, _ in record.headers)


asyncio.run(main(*sys.argv[1:]))
