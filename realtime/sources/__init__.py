"""Sources: what a run takes its observations from.

`source` is their contract, and matches them to a bundle. `live` is made of devices (`device`): `camera_face`,
`microphone`, `lsl` and `pushed`. `media` reads recordings, `session` recorded sessions, and `xdf` files of
LabRecorder; `files` chooses by a path's content.
"""
