"""The page's model of ratings, in a browser, compared to a grid of values."""

import base64
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.study.annotate.app import FILES
from enrapt.study.annotate.segments import Segment, label_of, replaced
from tests.support.browser import chromium

STEP = 0.25  # s of a cell of the grid
LENGTH = 40  # cells

# Each step is [what, cell, value]. Gives all segments, and what each edit would store.
RUN = """
const [steps, done] = arguments, edits = [];
import(window.model).then(({ Editor }) => {
    const editor = new Editor([], "test");
    const acts = {
        begin: (t, v) => editor.begin(t, v), set: (t, v) => editor.set(v, t),
        advance: (t) => editor.advance(t),
        end: (t) => editor.end(t), seek: () => editor.end(), undo: () => editor.undo(),
        redo: () => editor.redo(),
        write: (t, v) => editor.write(t, t + 1, v), save: () => edits.push(editor.take()),
    };
    for (const [what, cell, value] of steps) acts[what](cell * STEP, value);
    editor.end();
    edits.push(editor.take());
    done([editor.ratings.segments, edits.filter(Boolean)]);
});
""".replace("STEP", str(STEP))

values = st.sampled_from([None, 0.0, 0.5, 1.0])


class Grid:
    """What the page does, one value a cell."""

    def __init__(self) -> None:
        self.cells: list[float | None] = [None] * LENGTH
        self.done: list[list[float | None]] = []
        self.undone: list[list[float | None]] = []
        self.stroke: tuple[int, int, float | None] | None = None  # start, end, value
        self.before: list[float | None] = []

    def fill(self, start: int, end: int, value: float | None) -> None:
        self.cells[start:end] = [value] * (end - start)

    def begin(self, cell: int, value: float | None) -> None:
        self.seek()
        self.stroke, self.before = (cell, cell, value), list(self.cells)

    def advance(self, cell: int, _: object = None) -> None:
        if self.stroke is not None and cell > self.stroke[1]:
            start, end, value = self.stroke
            self.fill(end, cell, value)
            self.stroke = start, cell, value

    def set(self, cell: int, value: float | None) -> None:
        if self.stroke is None or value == self.stroke[2]:
            return
        at = max(cell, self.stroke[0])
        self.advance(at)
        start, end, _ = self.stroke
        self.stroke = start, end, value
        self.fill(at, end, value)

    def seek(self, *_: object) -> None:
        if self.stroke is not None and self.stroke[1] > self.stroke[0]:
            self.done.append(self.before)
            self.undone = []
        self.stroke = None

    def end(self, cell: int, _: object = None) -> None:
        self.advance(cell)
        self.seek()

    def write(self, cell: int, value: float | None) -> None:
        self.seek()
        self.done.append(list(self.cells))
        self.undone = []
        self.fill(cell, cell + round(1 / STEP), value)

    def undo(self, *_: object) -> None:
        self.seek()
        if self.done:
            self.undone.append(list(self.cells))
            self.cells = self.done.pop()

    def redo(self, *_: object) -> None:
        self.seek()
        if self.undone:
            self.done.append(list(self.cells))
            self.cells = self.undone.pop()

    def save(self, *_: object) -> None:
        pass


STEPS = ["begin", "set", "set", "advance", "advance", "end", "seek", "undo", "redo", "write", "save"]
steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, LENGTH - 5), values), max_size=40)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        driver.get("about:blank")
        text = base64.b64encode((FILES / "model.js").read_bytes()).decode()
        driver.execute_script("window.model = arguments[0]", f"data:text/javascript;base64,{text}")
        yield driver


def grid_of(segments: list[Segment]) -> list[float | None]:
    cells: list[float | None] = [None] * LENGTH
    for segment in segments:
        for cell in range(round(segment.start / STEP), round(segment.end / STEP)):
            assert cells[cell] is None, "they overlap"
            cells[cell] = segment.value
    return cells


@given(sequence=steps)
@settings(max_examples=150)
def test_any_drawing_is_that_of_a_grid_and_so_is_what_is_stored(browser, sequence):
    segments, edits = browser.execute_async_script(RUN, sequence)
    grid = Grid()
    for what, cell, value in sequence:
        getattr(grid, what)(cell, value)
    grid.seek()
    found = [Segment(*each[:3]) for each in segments]
    assert all(a.start < a.end <= b.start < b.end for a, b in itertools.pairwise(found))
    assert grid_of(found) == grid.cells
    stored: list[Segment] = []
    for edit in edits:
        stored = replaced(
            stored, edit["start"], edit["end"], [Segment(*each[:3]) for each in edit["segments"]]
        )
    assert grid_of(stored) == grid.cells
    label_of(stored, "trace", "r", "d")  # which refuses times that do not increase


def test_a_long_trace_is_drawn_quickly(browser):
    """An hour at 25 Hz; a picture a 60th of a second has 16 ms."""
    ms, number = browser.execute_async_script("""
        const done = arguments[0];
        import(window.model).then(({ Editor }) => {
            const segments = Array.from({ length: 90000 }, (_, k) => [k / 25, (k + 1) / 25, k % 7]);
            const editor = new Editor(segments, "test"), began = performance.now();
            editor.begin(100, 9);
            for (let k = 0; k < 600; k++) editor.set(10 + k % 3, 100 + k / 25);
            editor.end(130);
            const drawn = (performance.now() - began) / 600;
            editor.undo();
            done([drawn, editor.ratings.segments.length]);
        });
    """)
    assert number in (90000, 90001)
    assert ms < 4
