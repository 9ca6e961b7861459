"""Events as AWS sends them, with all their fields: what its documentation shows, filled in.

API Gateway: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
and http-api-develop-integrations-lambda.html; function URLs: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html;
the rest: https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html
"""

import json
from typing import Any

ACCOUNT, REGION, BUCKET = "123456789012", "us-east-1", "pixdepot"
_TIME = "2026-11-28T02:00:00.000Z"
_AGENT = "curl/8.5.0"


def rest(method: str, path: str, body: str | None = None, **headers: str) -> dict[str, Any]:
    """Return a request through a REST API's stage `dev`."""
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {"Host": "abc123.execute-api.us-east-1.amazonaws.com", "User-Agent": _AGENT, **headers},
        "multiValueHeaders": {
            name: [value]
            for name, value in {"Host": "abc123.execute-api.us-east-1.amazonaws.com", **headers}.items()
        },
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path.removeprefix("/")},
        "stageVariables": None,
        "requestContext": {
            "resourceId": "p9xkdl",
            "resourcePath": "/{proxy+}",
            "httpMethod": method,
            "extendedRequestId": "Q1RNHGpPIAMEXnw=",
            "requestTime": "28/Nov/2026:02:00:00 +0000",
            "path": f"/dev{path}",
            "accountId": ACCOUNT,
            "protocol": "HTTP/1.1",
            "stage": "dev",
            "domainPrefix": "abc123",
            "requestTimeEpoch": 1795831200000,
            "requestId": "0d7b4d4e-1111-4f8a-9c1d-1f1b0d1f2a3b",
            "identity": {"sourceIp": "192.0.2.1", "userAgent": _AGENT, "user": None, "accountId": None},
            "domainName": "abc123.execute-api.us-east-1.amazonaws.com",
            "deploymentId": "h3zsxq",
            "apiId": "abc123",
        },
        "body": body,
        "isBase64Encoded": False,
    }


def http(method: str, path: str, body: str | None = None, **headers: str) -> dict[str, Any]:
    """Return a request through an HTTP API's default stage, in payload format 2.0."""
    return _payload_2(method, path, body, headers, domain="abc123.execute-api.us-east-1.amazonaws.com")


def function_url(method: str, path: str, body: str | None = None, **headers: str) -> dict[str, Any]:
    """Return a request to a function URL."""
    domain = "abcdefghijklmnopqrstuvwxyz012345.lambda-url.us-east-1.on.aws"
    return _payload_2(method, path, body, headers, domain=domain)


def _payload_2(method: str, path: str, body: str | None, headers: dict[str, str], *, domain: str) -> dict[str, Any]:
    identifier = domain.partition(".")[0]
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": domain, **{name.lower(): value for name, value in headers.items()}},
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": identifier,
            "domainName": domain,
            "domainPrefix": identifier,
            "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1",
                "userAgent": _AGENT,
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "28/Nov/2026:02:00:00 +0000",
            "timeEpoch": 1795831200000,
        },
        "isBase64Encoded": False,
    }  # fmt: skip
    return event if body is None else {**event, "body": body}


# ---------------------------------------------------------------- HTTP that the function does not serve


def load_balancer(*, several: bool = False) -> dict[str, Any]:
    """Return a request through an Application Load Balancer, with `several` values for each header if asked for."""
    group = f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:targetgroup/pixdepot/49e9d65c45c6791a"
    headers = {"host": "pictures.example", "user-agent": _AGENT, "x-forwarded-for": "192.0.2.1"}
    named = {"multiValueHeaders": {k: [v] for k, v in headers.items()}, "multiValueQueryStringParameters": {}}
    return {
        "requestContext": {"elb": {"targetGroupArn": group}},
        "httpMethod": "GET",
        "path": "/images",
        **(named if several else {"headers": headers, "queryStringParameters": {}}),
        "body": "",
        "isBase64Encoded": False,
    }


def lattice_1() -> dict[str, Any]:
    """Return a request through VPC Lattice in its first event structure."""
    return {
        "raw_path": "/images",
        "method": "GET",
        "headers": {"host": "pictures.example", "user-agent": _AGENT},
        "query_string_parameters": {},
        "body": "",
        "is_base64_encoded": False,
    }


def lattice_2() -> dict[str, Any]:
    """Return a request through VPC Lattice in its second event structure, which says 2.0 as API Gateway's does."""
    lattice = f"arn:aws:vpc-lattice:us-east-1:{ACCOUNT}"
    return {
        "version": "2.0",
        "path": "/images",
        "method": "GET",
        "headers": {"host": ["pictures.example"], "user-agent": [_AGENT]},
        "queryStringParameters": {},
        "body": "",
        "isBase64Encoded": False,
        "requestContext": {
            "serviceNetworkArn": f"{lattice}:servicenetwork/sn-0bf3f2882e9cc805a",
            "serviceArn": f"{lattice}:service/svc-0a40eebed65f8d69c",
            "targetGroupArn": f"{lattice}:targetgroup/tg-6d0ecf831eec9f09",
            "identity": {"sourceVpcArn": f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/vpc-0b8276c84697e7339"},
            "region": REGION,
            "timeEpoch": "1795831200000000",
        },
    }


def websocket() -> dict[str, Any]:
    """Return a connection to a WebSocket API."""
    return {
        "headers": {"Host": "abc123.execute-api.us-east-1.amazonaws.com"},
        "multiValueHeaders": {"Host": ["abc123.execute-api.us-east-1.amazonaws.com"]},
        "requestContext": {
            "routeKey": "$connect", "eventType": "CONNECT", "connectionId": "L0SM9cOFvHcCIhw=",
            "requestId": "L0SM9Fs7PHcFYxQ=", "domainName": "abc123.execute-api.us-east-1.amazonaws.com",
            "stage": "dev", "apiId": "abc123",
        },
        "isBase64Encoded": False,
    }  # fmt: skip


# ---------------------------------------------------------------- what happens without a request


def s3(*keys: str, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    """Return S3's notification of objects. Keys are URL-encoded."""
    return {"Records": [_s3_record(key, name) for key in keys]}


def _s3_record(key: str, name: str) -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": _TIME,
        "eventName": name,
        "userIdentity": {"principalId": "AWS:AROAEXAMPLE:pixdepot"},
        "requestParameters": {"sourceIPAddress": "192.0.2.1"},
        "responseElements": {"x-amz-request-id": "EXAMPLE123456789", "x-amz-id-2": "EXAMPLE123/5678"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "pixdepot-arrived",
            "bucket": {
                "name": BUCKET,
                "ownerIdentity": {"principalId": "A3EXAMPLE"},
                "arn": f"arn:aws:s3:::{BUCKET}",
            },
            "object": {"key": key, "size": 1024, "eTag": "d41d8cd98f00b204e9800998ecf8427e", "sequencer": "0A1B2C"},
        },
    }


def s3_test() -> dict[str, Any]:
    """Return what S3 sends when a notification is set up."""
    return {
        "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": _TIME, "Bucket": BUCKET,
        "RequestId": "5582815E1AEA5ADF", "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+EXAMPLE",
    }  # fmt: skip


def sns(message: Any) -> dict[str, Any]:
    """Return a topic's delivery of an event."""
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:uploads"
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": f"{topic}:21be56ed-a058-49f5-8c98-aedd2564c486",
                "Sns": {
                    "Type": "Notification", "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
                    "TopicArn": topic, "Subject": "Amazon S3 Notification", "Message": json.dumps(message),
                    "Timestamp": _TIME, "SignatureVersion": "1", "Signature": "EXAMPLE",
                    "SigningCertUrl": "https://sns.us-east-1.amazonaws.com/x.pem",
                    "UnsubscribeUrl": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
                    "MessageAttributes": {},
                },
            }
        ]
    }  # fmt: skip


def sns_in_queue(message: Any) -> dict[str, Any]:
    """Return what a queue holds of a topic's message, where the subscription is not raw."""
    return {
        "Type": "Notification", "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
        "TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:uploads", "Subject": "Amazon S3 Notification",
        "Message": json.dumps(message), "Timestamp": _TIME, "SignatureVersion": "1", "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.us-east-1.amazonaws.com/x.pem",
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
    }  # fmt: skip


def sqs(*bodies: Any) -> dict[str, Any]:
    """Return a batch of a queue; the messages have the IDs `message-0`, `message-1` and so on."""
    return {
        "Records": [
            {
                "messageId": f"message-{n}",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {
                    "ApproximateReceiveCount": "1", "SentTimestamp": "1795831200000",
                    "SenderId": "AIDAEXAMPLE", "ApproximateFirstReceiveTimestamp": "1795831200001",
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:uploads",
                "awsRegion": REGION,
            }
            for n, body in enumerate(bodies)
        ]
    }  # fmt: skip


def _on_bus(source: str, kind: str, detail: Any) -> dict[str, Any]:
    return {
        "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": kind, "source": source,
        "account": ACCOUNT, "time": "2026-11-28T02:00:00Z", "region": REGION, "resources": [], "detail": detail,
    }  # fmt: skip


def event_bridge(key: str, kind: str = "Object Created") -> dict[str, Any]:
    """Return what S3 tells an event bus of an object."""
    detail = {
        "version": "0", "bucket": {"name": BUCKET},
        "object": {"key": key, "size": 1024, "etag": "d41d8cd98f00b204e9800998ecf8427e", "sequencer": "0A1B2C"},
        "request-id": "N4N7GDK58NMKJ12R", "requester": ACCOUNT, "source-ip-address": "192.0.2.1",
        "reason": "PutObject",
    }  # fmt: skip
    return _on_bus("aws.s3", kind, detail)


def schedule() -> dict[str, Any]:
    """Return what a rule with a schedule sends."""
    return _on_bus("aws.events", "Scheduled Event", {})


def scheduler() -> dict[str, Any]:
    """Return what EventBridge Scheduler sends where the schedule has no input of its own."""
    return _on_bus("aws.scheduler", "Scheduled Event", "{}")


def other_on_bus() -> dict[str, Any]:
    """Return an event of a service that the function has nothing to do with."""
    return _on_bus("aws.ec2", "EC2 Instance State-change Notification", {"instance-id": "i-abcd1111"})
