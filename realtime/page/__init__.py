"""The server behind `--to ui`: a page in the browser, and estimates over HTTP and WebSocket.

| file | what |
|---|---|
| `server` | `PageServer`: an output whose server runs in a thread of its own |
| `app` | its routes |
| `openapi` | what they answer, for programs |
| `clients` | who listens; one that is slow, or floods, is let go |
| `safety` | who may ask: host, origin, token |
| `latest`, `history`, `metrics` | what is answered |
| `messages` | what clients are told, and may say |
| `page/` | what the browser shows |

Importing this needs none of the packages that serving needs.
"""
