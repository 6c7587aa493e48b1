"""Peers: what nodes say to each other travels here, over TCP, in frames of msgspec.

Read `greeting` (who speaks), `frames` (the bytes), `link` (one connection), `transport` (all of them). It knows neither
consensus nor the service: letters are what the codec that it is given makes of bytes.
"""
