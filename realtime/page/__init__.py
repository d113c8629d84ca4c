"""The server behind `--to ui`: a page in the browser, and estimates over HTTP and WebSocket.

| file | content |
|---|---|
| `server` | `PageServer`: an output whose server runs in a thread of its own |
| `observed` | what the page needs from a run |
| `app` | HTTP and WebSocket endpoints |
| `openapi` | their OpenAPI description |
| `access` | checks of host, origin and token |
| `listener` | the listening socket and the limits of its connections |
| `clients` | WebSocket clients: a bounded queue and a rate limit for each |
| `latest`, `metrics` | contents of HTTP responses |
| `messages` | WebSocket messages in both directions |
| `static/` | what the browser loads |

Importing this package imports none of Starlette, uvicorn and websockets.
"""
