"""Makes, lists and revokes API tokens."""

import falcon
import msgspec

from policy_server.api.caller import actor_of
from policy_server.api.request import ApiRequest, read_body
from policy_server.api.token_views import NewToken, TokenList, TokenRequest, TokenView
from policy_server.auth.tokens import Tokens
from policy_server.model.access import ApiToken
from policy_server.model.errors import InvalidJson, InvalidParameter, Problem


class TokenPages:
    """The API tokens of the store; for administrators."""

    def __init__(self, tokens: Tokens, *, max_body: int) -> None:
        """Take who makes tokens, and how long a body may be, in bytes."""
        self._tokens = tokens
        self._max_body = max_body

    def on_get(self, _req: ApiRequest, resp: falcon.Response) -> None:
        """List all, revoked ones too."""
        _answer(resp, TokenList([_view(token) for token in self._tokens.all()]))

    def on_post(self, req: ApiRequest, resp: falcon.Response) -> None:
        """Make one and show it, this once."""
        wanted = _request(read_body(req, self._max_body))
        minted = self._tokens.create(wanted.name, wanted.scopes, by=actor_of(req), expires_at=wanted.expires_at)
        _answer(resp, NewToken(**msgspec.structs.asdict(_view(minted.kept)), token=minted.text))

    def on_delete_item(self, req: ApiRequest, resp: falcon.Response, token: str) -> None:
        """Revoke one."""
        _answer(resp, _view(self._tokens.revoke(token, by=actor_of(req))))


def _request(body: bytes) -> TokenRequest:
    try:
        wanted = msgspec.json.decode(body, type=TokenRequest)
    except msgspec.ValidationError as error:
        raise InvalidParameter(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"The body is not valid JSON: {error}") from error
    if wanted.expires_at is not None and wanted.expires_at.tzinfo is None:
        message = "expires_at must have a zone, such as 2030-01-31T12:00:00Z"
        problem = Problem(message, code="invalid-parameter", parameter="/expires_at")
        raise InvalidParameter(message, problems=[problem])
    return wanted


def _view(token: ApiToken) -> TokenView:
    return TokenView(
        id=token.id,
        name=token.name,
        scopes=list(token.scopes),
        created_at=token.created_at,
        created_by=token.created_by,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
        revoked_at=token.revoked_at,
    )


def _answer(resp: falcon.Response, document: msgspec.Struct) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.set_header("cache-control", "no-store")
    resp.data = msgspec.json.encode(document) + b"\n"
