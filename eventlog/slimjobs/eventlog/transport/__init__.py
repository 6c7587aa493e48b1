"""Peers: what nodes say to each other travels here, over TCP, in frames of msgspec.

It knows neither consensus nor the service: letters are what the codec that it is given makes of bytes. Read `greeting`
(who speaks), `frames` (the bytes), `link` (one connection), `meeting` (how it begins, with `tls` if there is any),
`outgoing` and `incoming` (its two ends), `post` (letters to links and back), `transport` (all of it); `limits` has
every bound.
"""
