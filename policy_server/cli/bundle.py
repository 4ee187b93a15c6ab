"""Exports, imports, shows and verifies bundles, and keeps the keys they are trusted by."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, urlencode

import typer

from policy_server.cli import options, output
from policy_server.cli.client import Answer, actor, open_client
from policy_server.model.errors import FetchError, InputError, ManagedElsewhere, PolicyNotFound, Refused
from policy_server.model.policy import PolicyId
from policy_server.settings import Settings

if TYPE_CHECKING:
    from policy_server.assembly import Assembly
    from policy_server.bundles.verification import Verification

app = typer.Typer(help="Bundles: policies that travel between servers, signed, and OPA's.", no_args_is_help=True)

_POLICY = "repository/group/name/version"
_PROBLEM = {"Accept": "application/problem+json"}

PolicyArgument = Annotated[str, typer.Argument(metavar="POLICY", help=_POLICY, show_default=False)]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A bundle: .zip, or OPA's .tar.gz.")]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--verification-key", "--key", metavar="FILE", help="Public key (PEM, JWK, JWK Set) instead of those trusted."
    ),
]
KeyIdOption = Annotated[
    str, typer.Option("--verification-key-id", metavar="KID", help="Which key of a JWK Set; of OPA's bundles.")
]
AlgorithmOption = Annotated[
    str,
    typer.Option("--signing-alg", metavar="NAME", help="The only algorithm allowed, HS256 to HS512 with a secret."),
]
ScopeOption = Annotated[str, typer.Option(help="The scope that an OPA bundle is signed for.")]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option("--exclude-files-verify", metavar="PATTERN", help="Files of OPA's bundles that need not be signed."),
]


@app.command()
def export(
    policy: PolicyArgument,
    target: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where it goes.")] = None,
    opa: Annotated[bool, typer.Option("--opa", help="OPA's .tar.gz instead of the signed .zip.")] = False,
    wasm: Annotated[bool, typer.Option("--wasm", help="With --opa: put the compiled module in, too.")] = False,
    sign: Annotated[bool, typer.Option("--sign", help="With --opa: sign it, as OPA verifies it.")] = False,
    scope: ScopeOption = "",
    server: options.Server = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Write a policy as a bundle; prints the file's name."""
    named = _parsed(policy)
    parts = (named.repository, named.group, named.name, named.version)
    path = "/".join(quote(part, safe="") for part in parts)
    asked = {"format": "opa", "wasm": str(wasm).lower(), "signed": str(sign).lower(), "scope": scope}
    query = f"?{urlencode(asked)}" if opa else ""
    if not opa and (wasm or sign or scope):
        raise InputError("--wasm, --sign and --scope are for OPA's bundles (--opa).")
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
    key: KeyOption = None,
    key_id: KeyIdOption = "",
    algorithm: AlgorithmOption = "",
    scope: ScopeOption = "",
    exclude: ExcludeOption = None,
    skip: Annotated[bool, typer.Option("--skip-verify", help="Do not look at an OPA bundle's signature.")] = False,
    server: options.Server = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Import a bundle that a trusted key has signed; OPA's into the local store also with a key, or unsigned."""
    from policy_server.bundles.opa_archive import is_gzip, unpack
    from policy_server.bundles.opa_signatures import find_signature
    from policy_server.cli.serve import check_state_dir
    from policy_server.cli.tools import read_bytes

    content = read_bytes(file)
    settings = options.settings_from(config, state_dir=state_dir)
    if server is None:
        check_state_dir(settings.state_dir)
    files = unpack(content) if is_gzip(content) else {}
    if policy is not None and not files:
        raise InputError("A signed bundle names its policy itself; --as is for OPA's bundles.")
    check = _verification(key, key_id, algorithm, scope, exclude)
    if (check or skip) and (server is not None or not files):
        raise InputError("Keys are given for OPA's bundles and the local store; anything else is up to who is trusted.")
    if files and server is None and (check or skip or find_signature(files) is None):
        if check is not None:
            check.check(files)
        _import_opa(settings, files, policy, str(file))
        return
    named = "" if policy is None else f"?{urlencode({'policy': str(_parsed(policy))})}"
    with open_client(settings, server, writes=True) as client:
        answer = _checked(client.send("POST", f"/v1/policy/import{named}", content, _PROBLEM))
    output.write_json(answer.document())


@app.command()
def inspect(file: FileArgument) -> None:
    """Show what a bundle says about itself; nothing is verified."""
    from policy_server.bundles.archive import ZipArchive, ZipLimits
    from policy_server.bundles.contents import open_bundle
    from policy_server.bundles.opa import read_files
    from policy_server.bundles.opa_archive import is_gzip, unpack
    from policy_server.bundles.opa_signatures import find_signature
    from policy_server.cli.tools import read_bytes

    content = read_bytes(file)
    if is_gzip(content):
        files = unpack(content)
        plain, signature = read_files(files), find_signature(files)
        output.write_json(
            {
                "kind": "opa",
                "policy": None if plain.id is None else str(plain.id),
                "revision": plain.revision,
                "roots": plain.roots,
                "rego_version": plain.rego_version,
                "files": plain.files,
                "signature": None
                if signature is None
                else {
                    "algorithm": signature.token.algorithm,
                    "key_id": signature.token.key_id,
                    "scope": signature.scope,
                    "issuer": signature.issuer,
                    "files": sorted(signature.files),
                },
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
    key_id: KeyIdOption = "",
    algorithm: AlgorithmOption = "",
    scope: ScopeOption = "",
    exclude: ExcludeOption = None,
    config: options.Config = None,
    state_dir: options.StateDir = None,
) -> None:
    """Check a signed bundle against a key, or against everything that is trusted here; exit 5 when nobody vouches."""
    from policy_server.bundles.incoming import open_incoming
    from policy_server.bundles.opa_archive import is_gzip, unpack
    from policy_server.cli.tools import read_bytes, read_text
    from policy_server.jose.keys import read_keys
    from policy_server.model.errors import BundleUnverified

    content = read_bytes(file)
    check = _verification(key, key_id, algorithm, scope, exclude)
    if check is not None and is_gzip(content):
        check.check(unpack(content))
        print(f"{file}: signed by {key}")
        return
    bundle = open_incoming(content)
    if key is None:
        with _assembly(config, state_dir) as assembly:
            signer = assembly.exchange.trust.vouch(bundle).name
    elif any(bundle.signed_by(jwk, each) for jwk, each in read_keys(read_text(key))):
        signer = str(key)
    else:
        raise BundleUnverified(f"The bundle was not signed with the key in {key}.")
    print(f"{bundle.source(origin='').id}: signed by {signer}")


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
    from policy_server.cli.tools import read_text
    from policy_server.jose.keys import read_keys, thumbprint
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


def _verification(
    key: Path | None, key_id: str, algorithm: str, scope: str, exclude: list[str] | None
) -> "Verification | None":
    """Return how an OPA bundle is to be verified, None without a key; InputError for options that need one."""
    from policy_server.bundles.verification import Verification
    from policy_server.cli.tools import read_bytes

    if key is not None:
        return Verification(read_bytes(key), key_id, algorithm, scope, tuple(exclude or ()))
    if key_id or algorithm or scope or exclude:
        raise InputError("--verification-key-id, --signing-alg, --scope and --exclude-files-verify need a key.")
    return None


def _import_opa(settings: Settings, files: Mapping[str, bytes], policy: str | None, origin: str) -> None:
    from policy_server.bundles.contents import check_parts
    from policy_server.bundles.opa import read_files
    from policy_server.cli.tools import open_assembly

    plain = read_files(files)
    named = plain.id if policy is None else _parsed(policy)
    if named is None:
        raise InputError(f"The bundle does not say which policy it is; name it with --as {_POLICY}.")
    check_parts(named)
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
