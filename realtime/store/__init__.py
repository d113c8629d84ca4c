"""Recorded sessions: a folder of Arrow streams that is read as far as it is right, whatever happened to it.

| file | what |
|---|---|
| `folder` | writes one; its docstring is the description of the format |
| `tables`, `messages` | its rows as Arrow, its messages with their checks |
| `reader` | reads one, and says what is lost |
| `replay` | shows the model again what it was shown |
| `media` | pictures and sound, if they were asked for |
"""
