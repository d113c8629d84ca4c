"""What a session takes from: cameras, microphones, streams. Each may vanish and come back.

| file | what |
|---|---|
| `camera`, `camera_process`, `camera_trouble` | pictures; OpenCV in its own process; why one does not open |
| `microphone`, `microphone_process` | sound; PortAudio in its own process |
| `process` | what both share: a process that is ended when it hangs, and started anew |
| `sound`, `clock`, `steady` | a device's own count of samples, brought to the session's clock |
| `lsl_source`, `stream_kind` | features or sound from a Lab Streaming Layer stream |
"""
