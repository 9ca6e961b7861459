"""What operators see: logs, metrics and traces.

It may import the domain and the settings.
"""
