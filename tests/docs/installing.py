"""What pip needs of this machine to reach its index, where that is not in a file."""

import os


def index() -> dict[str, str]:
    """Return the variables that tell pip of indexes, certificates and proxies; nothing else of a developer's."""
    wanted = ("PIP_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {name: value for name, value in os.environ.items() if name.upper().startswith(wanted)}
