"""Recorded sessions: folders of Arrow streams that stay readable when they are cut off or damaged.

`folder` writes them, and its docstring describes the format; `reader` reads them.
"""
