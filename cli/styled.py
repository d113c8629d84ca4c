"""Tables, styles and progress on the terminal, of which text from outside is a part."""

from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ..contracts.console import for_styles, printable


class StyledConsole(Console):
    """Rich's, on a stream as it is now: only what is Rich's own moves the cursor or sets a style."""

    def __init__(self, stream: TextIO, **options: Any) -> None:
        super().__init__(file=for_styles(stream), **{"highlight": False} | options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As Rich's, with `printable` text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
