"""The server behind `--to ui`: a page in the browser, and estimates over HTTP and WebSocket.

`server` has the output; importing this package imports none of Starlette, uvicorn and websockets.
"""
