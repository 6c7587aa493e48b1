"""The difference between what the committed log says should be and what is observed, as effects to start.

Pure and level-based: it looks at all of both and may be run at any time.
"""
