"""What the protos say of messages, fields, enums and their values: the comment above each, by its name."""

import re
from importlib.resources import files

# The protos are written in one form (buf lint and our own eyes hold it): one declaration a line.
_OPENS = re.compile(r"(message|enum|oneof|service)\s+(\w+)\s*\{(\})?")
_ENTRY = re.compile(r"(?:[\w.<>, ]+\s)?(\w+)\s*=\s*\d+;")


def comments(proto: str) -> dict[str, str]:
    """For the file of that name, by names such as "Event.event_id", "Stage" and "Stage.STAGE_USE"."""
    found: dict[str, str] = {}
    above: list[str] = []
    inside: list[str] = []
    for line in (files("touchledger.v1") / proto).read_text().splitlines():
        stripped = line.strip()
        if stripped.startswith("//"):
            above.append(stripped.removeprefix("//").strip())
            continue
        name = ""
        if opened := _OPENS.match(stripped):
            name = opened[2]
        elif entry := _ENTRY.match(stripped):
            name = entry[1]
        if name:
            # A field of a oneof is its message's.
            names = [each for each in inside if each]
            found[".".join([*names, name])] = " ".join(above).strip()
        if opened and not opened[3]:
            inside.append("" if opened[1] == "oneof" else name)
        elif stripped == "}":
            inside.pop()
        above = []
    return found
