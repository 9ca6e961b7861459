"""The aws backend: S3 and DynamoDB, through aioboto3.

It may import the domain and the settings.
"""
