"""Falcon hello-world: the least an application on our gunicorn settings can do."""

import falcon


class Hello:
    """Says hello, whatever is asked; a body is read, as a server must."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response, **_place: str) -> None:
        """Say hello."""
        resp.text = "Hello, world!"

    def on_post(self, req: falcon.Request, resp: falcon.Response, **_place: str) -> None:
        """Read the body and say hello."""
        req.bounded_stream.read()
        resp.text = "Hello, world!"


app = falcon.App()
app.add_route("/", Hello())
app.add_route("/policy/v1/service/configuration", Hello())
app.add_route("/policy/{repository}/{group}/{policy}/{version}/evaluation", Hello())
