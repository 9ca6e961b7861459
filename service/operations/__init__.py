"""What the service does with images and uploads, and how much of it at once.

It may import the domain, the machine, media, telemetry and the settings.
"""
