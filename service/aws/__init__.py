"""The aws backend: S3 and DynamoDB, through aioboto3."""
