"""What the service decides and does: between what people ask for (`http`) and what is known (`projections`).

In the order of a trigger's way: `configuration/` (what people write, read into definitions), `decide/` (a command
and the state give a record or a refusal), `supervisor/` (desired and observed give effects), `orchestrators/` (who
carries effects out), `machine/` (a node without I/O, put together from these) and `node/` (the trio program that
drives it). It may not know the web framework.
"""
