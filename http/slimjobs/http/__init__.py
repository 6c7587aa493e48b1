"""The REST surface: requests are read into commands, answers and refusals written as JSON.

The only package that knows the web framework and its server; it may not know Kubernetes. What a node is put together
from: `application.create_app`, `surface.SurfaceSettings`, and of `server` `listen`, `serve`, `AddressUnavailable`.

To be read in the order of a request: `server`, `connection`, `http1` (bytes); `application`, `callers`, `rates`, `room`
(who asks, and how much); `routes`, `triggers`, `runs`, `cluster`, `parameters` (what is asked); `bodies`, `overrides`,
`fields`, `strict_json` (what was written); `answers`, `problems`, `rendering` (what is answered).
"""
