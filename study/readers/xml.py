"""XML that others wrote: without a document type, so no entities, and of bounded size and depth."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final
from xml.parsers import expat

from ...contracts.errors import UserError, one_line
from .contents import content_of

MAX_BYTES: Final = 2**25  # a tree takes some fifteen times as much memory
MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 2**20


def read_xml(path: Path) -> ET.Element:
    """The root element of a file.

    A document type is refused: entities are defined there, which may name other files, or grow without bound.

    Raises:
        UserError: the file cannot be read, is not XML, declares a document type, or is too large or deep.
    """
    content = content_of(path, MAX_BYTES)
    builder, depth, count = ET.TreeBuilder(), 0, 0

    def refuse(*_: object) -> None:
        raise UserError(f"{path}: has a document type (DOCTYPE), which is not read; remove it")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > MAX_DEPTH or count > MAX_ELEMENTS:
            raise UserError(f"{path}: too large: more than {MAX_DEPTH} levels or {MAX_ELEMENTS} elements")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise UserError(f"{path}: not XML, or damaged ({one_line(error)})") from None
    except (ValueError, LookupError):  # an encoding that Python does not have
        raise UserError(f"{path}: not XML, or damaged (its encoding)") from None
    root: ET.Element = builder.close()
    return root
