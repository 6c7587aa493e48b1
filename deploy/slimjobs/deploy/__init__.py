"""The command line, and a node put together from its parts: the last of the five packages, which may import all
others.
"""
