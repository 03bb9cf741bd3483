"""Values of Python as SQL takes them, and back."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import uuid
from collections.abc import Iterator
from typing import Any, Callable, Optional

from ._native import Batch
from ._plans import Column, TablePlan


def to_sql(value: Any) -> Any:
    """Make a str, an int, a float, bytes or None of a value of another type."""
    if isinstance(value, enum.Enum):
        return to_sql(value.value)
    plain: Any
    for plain in (str, int, float, bytes):
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is no value of SQL: give None for NULL")
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        return _moment(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return _duration(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (set, frozenset)):
        return ",".join(sorted(map(str, value)))
    if value is None or type(value).__name__ == "NAType":
        return None
    if hasattr(value, "item"):
        return _scalar(value)
    if type(value).__module__ == "ipaddress":
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__} has no form in SQL: give a text, a number or bytes")


def _scalar(value: Any) -> Any:
    """Bring a number of numpy to Python."""
    plain = value.item()
    return plain if plain is None or type(plain) in (str, int, float, bytes, bool) else to_sql(plain)


def _moment(value: datetime.datetime) -> Optional[str]:
    if value != value:  # pandas' NaT is a datetime that equals nothing
        return None
    if value.tzinfo is not None:
        value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return value.isoformat(sep=" ")[:26]


def _duration(value: datetime.timedelta) -> Optional[str]:
    if value != value:
        return None
    micros = (value.days * 86400 + value.seconds) * 1_000_000 + value.microseconds
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    seconds, micros = divmod(micros, 1_000_000)
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}"


_CODECS = {
    "utf8mb4": "utf-8",
    "utf8mb3": "utf-8",
    "utf8": "utf-8",
    "ascii": "ascii",
    "latin1": "cp1252",
    "latin2": "iso8859-2",
    "latin5": "iso8859-9",
    "latin7": "iso8859-13",
    "greek": "iso8859-7",
    "hebrew": "iso8859-8",
    "ucs2": "utf-16-be",
    "utf16": "utf-16-be",
    "utf16le": "utf-16-le",
    "utf32": "utf-32-be",
    "sjis": "shift_jis",
    "ujis": "euc_jp",
    "koi8r": "koi8_r",
    "koi8u": "koi8_u",
    "tis620": "tis_620",
}

_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint", "year")


def decode(table: TablePlan, batch: Batch) -> Iterator[tuple[Any, ...]]:
    """Give the rows of a batch as Python's values: int, float, Decimal, str, bytes, date, datetime, timedelta, None.

    What Python has no value for (the date `0000-00-00`) stays text.
    """
    readers = [_reader(column) for column in table.table.stored_columns]
    for row in batch:
        yield tuple(None if field is None else read(field) for read, field in zip(readers, row))


def _reader(column: Column) -> Callable[[bytes], Any]:
    kind = column.data_type
    if kind in _INTEGERS:
        return int
    if kind in ("float", "double"):
        return float
    if kind in ("date", "datetime", "timestamp", "time"):
        return _time_reader(kind)
    if kind == "decimal":
        return lambda field: decimal.Decimal(field.decode())
    if kind == "bit":
        return lambda field: int.from_bytes(field, "big")
    if kind in ("enum", "set"):
        return _member_reader(column)
    if kind in ("json", "uuid", "inet4", "inet6"):
        return bytes.decode
    if column.charset and column.charset != "binary":
        codec = _CODECS.get(column.charset, column.charset)
        return lambda field: field.decode(codec)
    return bytes


def _time_reader(kind: str) -> Callable[[bytes], Any]:
    def read(field: bytes) -> Any:
        text = field.decode()
        try:
            if kind == "date":
                return datetime.date.fromisoformat(text)
            if kind == "time":
                return _time(text)
            whole, _, fraction = text.partition(".")
            moment = datetime.datetime.fromisoformat(whole)
            return moment.replace(microsecond=int(fraction.ljust(6, "0"))) if fraction else moment
        except ValueError:
            return text

    return read


def _time(text: str) -> datetime.timedelta:
    hours, minutes, seconds = text.lstrip("-").split(":")
    whole, _, fraction = seconds.partition(".")
    span = datetime.timedelta(
        hours=int(hours), minutes=int(minutes), seconds=int(whole), microseconds=int(fraction.ljust(6, "0"))
    )
    return -span if text.startswith("-") else span


def _member_reader(column: Column) -> Callable[[bytes], str]:
    members = _members(column.column_type)
    if column.data_type == "enum":
        return lambda field: ("", *members)[int(field)]
    return lambda field: ",".join(name for bit, name in enumerate(members) if int(field) >> bit & 1)


def _members(column_type: str) -> list[str]:
    """Read the members of `enum('a','it''s')`."""
    members, rest = [], column_type[column_type.find("(") + 1 : column_type.rfind(")")]
    while rest:
        end = 1
        while rest[end] != "'" or rest[end : end + 2] == "''":
            end += 2 if rest[end] == "'" else 1
        members.append(rest[1:end].replace("''", "'"))
        rest = rest[end + 1 :].lstrip(", ")
    return members
