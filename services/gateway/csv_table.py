"""Answers as CSV: RFC 4180, a header with the names of schema bi, no cell that a spreadsheet would run.

Read from the descriptors of the answers, so that a new field is a new column.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from touchledger.v1.journal_pb2 import Position

# Of a group, the columns that name it.
KEYS = "keys"
# What the keys say apart.
GROUP = "group"
# What goes into a header of the answer.
IN_A_HEADER = "next_page_token"
NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?", re.ASCII)
# Spreadsheets run a cell that begins so, unless it is a number; the wide forms stand for the plain ones.
RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# The semicolon is where spreadsheets of half of Europe cut.
QUOTED = re.compile(r'[",;\t\r\n]')
# Nearly every text, and nothing to be done about it.
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .:/|-]*", re.ASCII)

Cell = Callable[[Any], str]

# Messages that are one cell. A position is its number: the journal is the same in all of an answer.
LEAVES: dict[str, Cell] = {
    "google.protobuf.Timestamp": lambda moment: moment.ToJsonString(),
    "google.protobuf.Duration": lambda duration: duration.ToJsonString(),
    Position.DESCRIPTOR.full_name: lambda position: str(position.number),
}


def csv_table(answer: Message, names: Sequence[str] = (), keys: Sequence[str] = ()) -> str:
    """A line for each group, fact or event in the answer; what is said of the whole ends each line.

    names: the columns that are wanted come first, in this order, also where no line has them; then what came
    with them, as a score has its interval and counts. keys: likewise, of the columns that name a line.
    """
    # The types of descriptors are private.
    descriptor: Any = answer.DESCRIPTOR
    lines_in = next((each for each in descriptor.fields if _is_list_of_messages(each)), None)
    lines = [answer] if lines_in is None else list(getattr(answer, lines_in.name))
    kind = descriptor if lines_in is None else lines_in.message_type
    of_line = _cells(kind)
    of_whole = {name: cell for name, cell in _cells(descriptor).items() if name not in of_line}
    said = sorted({key for line in lines for key in getattr(line, KEYS, ())})
    keys = list(dict.fromkeys([*keys, *said]))
    maps = [(each.name, _text(each.message_type.fields_by_name["value"])) for each in _maps(kind)]
    entries = [_entries(line, maps) for line in lines]
    further = sorted({name for each in entries for name in each})
    if names and maps:
        further = list(dict.fromkeys([*names, *further]))
    whole = [cell(answer) for cell in of_whole.values()]
    text = [_line(map(safe, [*keys, *of_line, *further, *of_whole]))]
    for line, found in zip(lines, entries, strict=True):
        cells = [safe(getattr(line, KEYS)[key]) for key in keys]
        cells += [cell(line) for cell in of_line.values()]
        cells += [found.get(name, "") for name in further]
        text.append(_line([*cells, *whole]))
    return "".join(text)


@lru_cache
def _cells(descriptor: Descriptor) -> dict[str, Cell]:
    """What makes the cell of each column, for all fields but maps and lists of messages."""
    return dict(_cells_of(descriptor, "", lambda message: message))


def _cells_of(
    descriptor: Descriptor, prefix: str, at: Callable[[Any], Any]
) -> Iterator[tuple[str, Cell]]:
    for field in descriptor.fields:
        name = f"{prefix}{field.name}"
        kind = field.message_type
        if name == IN_A_HEADER or (kind is not None and field.is_repeated):
            continue
        if name == GROUP and KEYS in descriptor.fields_by_name:
            continue
        if kind is not None and kind.full_name not in LEAVES:
            yield from _cells_of(kind, f"{name}_", _inside(at, field.name))
        else:
            yield name, _cell(field, at)


def _inside(at: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    """The message of that name; None where it, or what it is in, is absent."""

    def inside(message: Any) -> Any:
        within = at(message)
        return getattr(within, name) if within is not None and within.HasField(name) else None

    return inside


def _cell(field: FieldDescriptor, at: Callable[[Any], Any]) -> Cell:
    name, text = field.name, _text(field)

    def cell(message: Any) -> str:
        within = at(message)
        if within is None:
            return ""
        if field.is_repeated:
            return " ".join(map(text, getattr(within, name)))
        if field.has_presence and not within.HasField(name):
            return ""
        return text(getattr(within, name))

    return cell


def _text(field: FieldDescriptor) -> Callable[[Any], str]:
    if field.message_type is not None:
        return LEAVES[field.message_type.full_name]
    if field.enum_type is not None:
        enum = field.enum_type
        return lambda number: short_name(enum, number)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return lambda value: "true" if value else "false"
    # Of a double the shortest text that is read as the same.
    return safe if field.type == FieldDescriptor.TYPE_STRING else repr


def _maps(kind: Any) -> list[Any]:
    """All but those of the keys."""
    return [field for field in kind.fields if _is_map(field) and field.name != KEYS]


def _entries(line: Any, maps: Sequence[tuple[str, Callable[[Any], str]]]) -> dict[str, str]:
    """The cells that are in the maps of the line, which are most of a large answer."""
    found = dict[str, str]()
    for name, text in maps:
        found.update({key: text(value) for key, value in getattr(line, name).items()})
    return found


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _is_list_of_messages(field: FieldDescriptor) -> bool:
    return field.is_repeated and field.message_type is not None and not _is_map(field)


def short_name(enum: EnumDescriptor, number: int) -> str:
    """As schema bi has it: "month" for GROUP_BY_MONTH."""
    value = enum.values_by_number.get(number)
    return value.name.removeprefix(prefix_of(enum)).lower() if value else str(number)


def prefix_of(enum: EnumDescriptor) -> str:
    return enum.values_by_number[0].name.removesuffix("UNSPECIFIED")


def _line(cells: Iterable[str]) -> str:
    return ",".join(cells) + "\r\n"


def safe(text: str) -> str:
    """The text as a cell that is shown and never run."""
    if PLAIN.fullmatch(text):
        return text
    if text.startswith(RUN_BY_SPREADSHEETS) and not NUMBER.fullmatch(text):
        text = f"'{text}"
    if QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text
