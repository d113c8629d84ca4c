"""Annotation in the browser: a local page that plays a recording while somebody rates it."""
