"""Recorded sessions: folders of Arrow streams that stay readable when they are cut off or damaged.

| module | purpose |
|---|---|
| `folder` | writes a session; its docstring describes the format |
| `tables`, `messages` | rows as Arrow, messages with checksums |
| `reader` | reads a session, and reports what is lost |
| `media`, `muxer` | pictures and sound, if they were asked for |
| `estimates_file` | reads the files of outputs |
"""
