"""Sources: what a run takes its observations from.

| module | purpose |
|---|---|
| `source`, `offer` | the contract of sources; matching them to a bundle by feature schema |
| `files` | the source of a path |
| `live` | devices, live |
| `device`, `inlet` | the contract of devices, and where they deliver |
| `process`, `child` | devices whose driver runs in a process of its own: its two sides |
| `camera_face`, `camera`, `camera_process`, `camera_diagnosis` | faces in a camera's pictures |
| `microphone`, `microphone_process`, `sound` | audio features of a microphone's sound |
| `lsl`, `stream_kind` | features or sound of a Lab Streaming Layer stream |
| `pushed` | features that a program pushes |
| `media`, `reading`, `recording`, `demux`, `container`, `decoded` | recordings |
| `session`, `aligned` | recorded sessions |
| `xdf`, `xdf_file` | XDF files of LabRecorder |
"""
