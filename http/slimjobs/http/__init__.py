"""The REST surface: requests are read into commands, answers and refusals written as JSON.

The only package that knows the web framework and its server; it may not know Kubernetes.
"""
