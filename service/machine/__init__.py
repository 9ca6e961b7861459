"""The limits of the machine for this process: memory and open files.

It imports the standard library and nothing of the service.
"""
