"""Exports, imports, shows and verifies bundles, and keeps the keys they are trusted by."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from policy_server.cli import options, output
from policy_server.cli.client import Answer, actor, open_client
from policy_server.model.errors import FetchError, InputError, ManagedElsewhere, PolicyNotFound, Refused
from policy_server.model.policy import PolicyId
from policy_server.settings import Settings

if TYPE_CHECKING:
    from policy_server.assembly import Assembly

app = typer.Typer(help="Bundles: policies that travel between servers, signed, and OPA's.", no_args_is_help=True)

_POLICY = "repository/group/name/version"
_PROBLEM = {"Accept": "application/problem+json"}

PolicyArgument = Annotated[str, typer.Argument(metavar="POLICY", help=_POLICY, show_default=False)]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A bundle: .zip, or OPA's .tar.gz.")]
KeyOption = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="Public key (PEM, JWK, JWK Set) instead of those trusted.")
]


@app.command()
def export(
    policy: PolicyArgument,
    target: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where it goes.")] = None,
    opa: Annotated[bool, typer.Option("--opa", help="OPA's .tar.gz instead of the signed .zip.")] = False,
    wasm: Annotated[bool, typer.Option("--wasm", help="With --opa: put the compiled module in, too.")] = False,
    server: options.Server = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Write a policy as a bundle; prints the file's name."""
    named = _parsed(policy)
    parts = (named.repository, named.group, named.name, named.version)
    path = "/".join(quote(part, safe="") for part in parts)
    query = f"?format=opa&wasm={str(wasm).lower()}" if opa else ""
    settings = options.settings_from(config, state_dir=state_dir)
    with open_client(settings, server) as client:
        answer = _checked(client.send("GET", f"/policy/{path}/export{query}", headers=_PROBLEM))
    file = target or Path(f"{'_'.join(quote(part, safe='') for part in parts)}.{'tar.gz' if opa else 'zip'}")
    _write(file, answer.body)
    print(file)


@app.command("import")
def import_(
    file: FileArgument,
    policy: Annotated[
        str | None,
        typer.Option("--as", metavar="POLICY", help=f"For OPA's bundles: {_POLICY}, if not in its manifest."),
    ] = None,
    server: options.Server = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Import a bundle: a signed one when a trusted key verifies it, OPA's into the local store."""
    from policy_server.bundles.opa import is_gzip
    from policy_server.cli.serve import check_state_dir
    from policy_server.cli.tools import read_bytes

    content = read_bytes(file)
    settings = options.settings_from(config, state_dir=state_dir)
    if server is None:
        check_state_dir(settings.state_dir)
    if is_gzip(content):
        if server is not None:
            raise InputError("OPA's bundles are not signed; they are imported into the local store only.")
        _import_opa(settings, content, policy, str(file))
        return
    if policy is not None:
        raise InputError("A signed bundle names its policy itself; --as is for OPA's bundles.")
    with open_client(settings, server, writes=True) as client:
        answer = _checked(client.send("POST", "/v1/policy/import", content, _PROBLEM))
    output.write_json(answer.document())


@app.command()
def inspect(file: FileArgument) -> None:
    """Show what a bundle says about itself; nothing is verified."""
    from policy_server.bundles.archive import ZipArchive, ZipLimits
    from policy_server.bundles.contents import open_bundle
    from policy_server.bundles.opa import is_gzip, read_opa
    from policy_server.cli.tools import read_bytes

    content = read_bytes(file)
    if is_gzip(content):
        plain = read_opa(content)
        output.write_json(
            {
                "kind": "opa",
                "policy": None if plain.id is None else str(plain.id),
                "revision": plain.revision,
                "roots": plain.roots,
                "rego_version": plain.rego_version,
                "files": plain.files,
            }
        )
        return
    bundle = open_bundle(content)
    about = bundle.metadata
    output.write_json(
        {
            "kind": "signed",
            "policy": str(about.id),
            "locked": about.locked,
            "last_update": about.last_update,
            "key_url": about.key_url,
            "digest": bundle.digest.hex(),
            "files": ZipArchive(bundle.inner, ZipLimits()).names,
        }
    )


@app.command()
def verify(
    file: FileArgument,
    key: KeyOption = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Check a signed bundle against a key, or against everything that is trusted here; exit 5 when nobody vouches."""
    from policy_server.bundles.contents import open_bundle, source_of
    from policy_server.bundles.signatures import read_keys, verifies
    from policy_server.cli.tools import read_bytes, read_text
    from policy_server.model.errors import BundleUnverified

    bundle = open_bundle(read_bytes(file))
    if key is None:
        with _assembly(config, state_dir) as assembly:
            signer = assembly.exchange.trust.vouch(bundle).name
    elif any(verifies(each, bundle.digest, bundle.signature) for _, each in read_keys(read_text(key))):
        signer = str(key)
    else:
        raise BundleUnverified(f"The bundle was not signed with the key in {key}.")
    source_of(bundle, origin="")
    print(f"{bundle.metadata.id}: signed by {signer}")


@app.command()
def trust(
    name: Annotated[str, typer.Argument(help="What the signer is called here.", show_default=False)],
    key: Annotated[Path, typer.Argument(metavar="FILE", help="Public key: PEM or JWK.", show_default=False)],
    repository: Annotated[
        list[str] | None,
        typer.Option(help="May write only this; may be repeated. None: wherever only its imports are."),
    ] = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Trust a public key: its bundles may be imported. Prints the key's id."""
    from policy_server.assembly import now
    from policy_server.bundles.pinned import PinnedKeys
    from policy_server.bundles.signatures import read_keys, thumbprint
    from policy_server.cli.tools import read_text
    from policy_server.model.access import TrustedKey

    found = read_keys(read_text(key))
    with _assembly(config, state_dir, writes=True) as assembly:
        for jwk, public in found:
            kept = TrustedKey(thumbprint(public), name, json.dumps(jwk), tuple(repository or ()), now(), actor())
            PinnedKeys(assembly.store, now).trust(kept)
            print(kept.id)


@app.command()
def keys(
    form: options.Output = options.Format.PRETTY, config: options.Config = None, state_dir: options.StateDir = None
) -> None:
    """List the keys that are trusted in the store; those of files and issuers are in the settings."""
    with _assembly(config, state_dir) as assembly:
        found = assembly.store.keys.all()
    if form is options.Format.JSON:
        output.write_json([{"id": key.id, "name": key.name, "repositories": key.repositories} for key in found])
        return
    output.write_table(
        ("ID", "NAME", "REPOSITORIES"), [(key.id, key.name, " ".join(key.repositories)) for key in found]
    )


@app.command()
def distrust(
    key: Annotated[str, typer.Argument(metavar="ID", help="The id that `bundle keys` shows.", show_default=False)],
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """No longer trust a key; what it has signed before stays."""
    from policy_server.assembly import now
    from policy_server.bundles.pinned import PinnedKeys

    with _assembly(config, state_dir, writes=True) as assembly:
        PinnedKeys(assembly.store, now).distrust(key, by=actor())
    output.say(f"{key} is no longer trusted")


def _import_opa(settings: Settings, content: bytes, policy: str | None, origin: str) -> None:
    from policy_server.bundles.opa import read_opa
    from policy_server.cli.tools import open_assembly

    plain = read_opa(content)
    named = plain.id if policy is None else _parsed(policy)
    if named is None:
        raise InputError(f"The bundle does not say which policy it is; name it with --as {_POLICY}.")
    with open_assembly(settings, writes=True) as assembly:
        where = assembly.managed(named)
        if where is not None:
            raise ManagedElsewhere(f"{named} comes from {where}, and is edited there.")
        revision = assembly.publisher.publish(plain.source(named, origin=origin), author=actor())
    output.write_json({"policy": str(named), "revision": revision.number, "digest": revision.digest})


@contextmanager
def _assembly(config: Path | None, state_dir: Path | None, *, writes: bool = False) -> Iterator["Assembly"]:
    """Yield the parts of a server on the local store; who writes has one made."""
    from policy_server.cli.serve import check_state_dir
    from policy_server.cli.tools import open_assembly

    settings = options.settings_from(config, state_dir=state_dir)
    if writes:
        check_state_dir(settings.state_dir)
    with open_assembly(settings, writes=writes) as assembly:
        yield assembly


def _checked(answer: Answer) -> Answer:
    """Return a good answer; raise the error that fits any other, in the server's words."""
    if answer.status == 200:
        return answer
    document = answer.document()
    said = str(document.get("detail") or document.get("message") or document.get("title") or "no reason given")
    kinds = {400: InputError, 403: Refused, 404: PolicyNotFound}
    raise kinds.get(answer.status, FetchError)(said)


def _parsed(policy: str) -> PolicyId:
    try:
        return PolicyId.parse(policy)
    except ValueError as error:
        raise PolicyNotFound(f"{error}.") from error


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}.") from error
