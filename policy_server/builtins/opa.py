"""Everything else that a module leaves to the host: OPA's own functions, in the toolkit."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from policy_server.builtins.call import Call
from policy_server.model.errors import BuiltinFailed, EvaluationTimeout, PolicyServerError
from policy_server.toolkit.toolkit import Toolkit

OPA_VERSION: Final = "1.22.2"
"""The OPA in the toolkit, for what must be known without loading it; a test compares them."""

NETWORK: Final = frozenset({"http.send", "net.lookup_ip_addr"})
"""Functions of OPA that need a network, which the toolkit does not have."""

_LISTED: Final = """
base64url.encode_no_pad cast_array cast_boolean cast_null cast_object cast_set cast_string crypto.hmac.equal
crypto.hmac.md5 crypto.hmac.sha1 crypto.hmac.sha256 crypto.hmac.sha512 crypto.md5 crypto.parse_private_keys
crypto.sha1 crypto.sha256 crypto.x509.parse_and_verify_certificates
crypto.x509.parse_and_verify_certificates_with_options crypto.x509.parse_certificate_request
crypto.x509.parse_certificates crypto.x509.parse_keypair crypto.x509.parse_rsa_private_key glob.quote_meta
graph.reachable_paths graphql.is_valid graphql.parse graphql.parse_and_verify graphql.parse_query
graphql.parse_schema graphql.schema_is_valid hex.decode hex.encode indexof_n internal.test_case io.jwt.decode
io.jwt.decode_verify io.jwt.encode_sign io.jwt.encode_sign_raw io.jwt.verify_eddsa io.jwt.verify_es256
io.jwt.verify_es384 io.jwt.verify_es512 io.jwt.verify_hs256 io.jwt.verify_hs384 io.jwt.verify_hs512
io.jwt.verify_ps256 io.jwt.verify_ps384 io.jwt.verify_ps512 io.jwt.verify_rs256 io.jwt.verify_rs384
io.jwt.verify_rs512 json.marshal_with_options json.match_schema json.patch json.verify_schema
net.cidr_contains_matches net.cidr_expand net.cidr_is_valid net.cidr_merge numbers.range_step object.subset
providers.aws.sign_req rand.intn regex.find_n regex.globs_match regex.replace regex.split
regex.template_match rego.parse_module semver.compare semver.is_valid sprintf strings.any_prefix_match
strings.any_suffix_match strings.count strings.render_template strings.split_n time.add_date time.clock time.date
time.diff time.format time.parse_duration_ns time.parse_ns time.parse_rfc3339_ns time.weekday units.parse
units.parse_bytes uri.is_valid uri.parse urlquery.decode urlquery.decode_object urlquery.encode
urlquery.encode_object uuid.parse uuid.rfc4122 yaml.is_valid yaml.marshal yaml.unmarshal
"""
NAMES: Final = frozenset(_LISTED.split())
"""Functions of OPA that its WebAssembly leaves to the host and the toolkit answers.

A list, so that loading a policy does not load the toolkit; a test compares it
with what OPA and its compiler say.
"""

_NATIVE: Final = """
abs all and any array.concat array.flatten array.reverse array.slice base64.decode base64.encode base64.is_valid
base64url.decode base64url.encode bits.and bits.lsh bits.negate bits.or bits.rsh bits.xor ceil concat contains count
div endswith floor format_int glob.match graph.reachable indexof internal.template_string intersection json.filter
json.is_valid json.marshal json.remove json.unmarshal lower max min minus mul net.cidr_contains net.cidr_intersects
net.cidr_overlap numbers.range object.filter object.get object.keys object.remove object.union object.union_n or plus
product re_match regex.find_all_string_submatch_n regex.is_valid regex.match rem replace round set_diff sort split
startswith strings.replace_n strings.reverse substring sum to_number trim trim_left trim_prefix trim_right trim_space
trim_suffix union upper
"""
NATIVE: Final = frozenset(_NATIVE.split())
"""Functions that OPA's WebAssembly has itself and that can fail or differ from the interpreter's."""

EXACT: Final = "exact."
STRICT: Final = "strict."
TWINS: Final = frozenset(prefix + name for prefix in (EXACT, STRICT) for name in NATIVE)
"""What modules with exact semantics ask for beside: functions that WebAssembly has itself, as the interpreter has them.

``exact.f`` where the WebAssembly's own may differ, ``strict.f`` where it had no answer and the
reason is only of interest to a strict caller (toolkit/go/guards.go).
"""

MEMO_TEXT: Final = 4096
MEMO_ENTRIES: Final = 10_000
"""What is remembered within one evaluation: arguments up to so many bytes, so many answers."""


class OpaFunctions:
    """Asks the toolkit, with the evaluation's time, randomness and deadline."""

    def __init__(self, toolkit: Toolkit) -> None:
        """Take the toolkit; it loads at the first question."""
        self._toolkit = toolkit
        self._lock = threading.Lock()
        self._loader: threading.Thread | None = None
        self._failure: PolicyServerError | None = None

    def function(self, name: str) -> Callable[[Call, Sequence[bytes]], bytes | None]:
        """Return the function of this name in a module, a twin included."""
        if name.startswith(STRICT):
            return partial(self._explain, name.removeprefix(STRICT))
        return partial(self.answer, name.removeprefix(EXACT))

    def _explain(self, name: str, call: Call, args: Sequence[bytes]) -> bytes | None:
        return self.answer(name, call, args) if call.strict else None

    def answer(self, name: str, call: Call, args: Sequence[bytes]) -> bytes | None:
        """Answer one call; value text in, value text out, None is undefined.

        Raises:
            BuiltinFailed: the function failed and the call is strict.
            EvaluationTimeout: the deadline is over, or would be.
            ToolkitError: the toolkit is missing or broke.
        """
        if name == "rand.intn" and len(args) == 2:
            # OPA takes the size of the number, and must remember it so.
            args = (args[0], args[1].lstrip(b"-"))
        key = (name, *args)
        memo = call.memo
        if key in memo:
            return memo[key]
        try:
            found = self.ask(name, call, args)
        except BuiltinFailed as error:
            call.fail(error)
            found = None
        if len(memo) < MEMO_ENTRIES and sum(map(len, args)) <= MEMO_TEXT:
            memo[key] = found
        return found

    def ask(self, name: str, call: Call, args: Sequence[bytes]) -> bytes | None:
        """Answer one call without a memory; BuiltinFailed when the function failed, else like ``answer``."""
        remaining = call.remaining()
        if remaining <= 0:
            raise EvaluationTimeout
        if not self._toolkit.loaded():
            self._load(remaining)
        return self._toolkit.builtin(name, args, now_ns=call.now_ns, seed=call.seed, deadline=call.remaining())

    def _load(self, seconds: float) -> None:
        # Loading takes milliseconds, but once in the life of an installation it is
        # a compilation of half a minute: that goes on while this caller gives up.
        with self._lock:
            if self._loader is None or not self._loader.is_alive():
                self._loader = threading.Thread(target=self._prepare, name="policy-toolkit", daemon=True)
                self._failure = None
                self._loader.start()
            loader = self._loader
        loader.join(seconds)
        if loader.is_alive():
            raise EvaluationTimeout("OPA's toolkit is still being made ready; try again in a minute.")
        if self._failure is not None:
            raise self._failure

    def _prepare(self) -> None:
        try:
            self._toolkit.prepare()
        except PolicyServerError as error:
            self._failure = error
