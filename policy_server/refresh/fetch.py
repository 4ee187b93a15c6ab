"""Fetches a data document as its configuration says."""

import json

from policy_server.model.errors import FetchError
from policy_server.model.refresh import DataConfig
from policy_server.net.client import GuardedClient


def fetch(client: GuardedClient, config: DataConfig) -> str:
    """Return the text that was answered; FetchError, TargetRefused.

    Anything but status 200 is an error. Whether the text is usable is the
    publisher's to judge.
    """
    headers = {"Accept": "application/json"}
    body: bytes | None = None
    if config.method == "POST":
        headers["Content-Type"] = "application/json"
        body = json.dumps(config.body).encode() if config.body is not None else None
    answer = client.fetch(config.method, config.url, body=body, headers=headers)
    if answer.status in range(300, 400):
        raise FetchError(f"The data source answered {answer.status}; redirects are not followed.")
    if answer.status != 200:
        raise FetchError(f"The data source answered {answer.status} instead of 200.")
    try:
        return answer.body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FetchError("The data source answered something that is not UTF-8.") from error
