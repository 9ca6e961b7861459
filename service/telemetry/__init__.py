"""Observability for operators: logs, metrics and traces.

It may import the domain and the settings.
"""
