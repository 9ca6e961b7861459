"""The operations on images and uploads, and the limits on memory, rate and time.

It may import the domain, the machine, media, telemetry and the settings.
"""
