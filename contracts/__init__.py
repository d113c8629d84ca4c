"""Shared by all rooms: feature schemas, the user's error, atomic files. Imports nothing of enrapt."""
