# METADATA
# title: Device registration
# description: May this alias register? Answered from an ordered book of rules in data.
# custom:
#   semantics: fast
package pexip.registration

# METADATA
# title: What Pexip is told
# description: The answer without status; action default leaves the matter to Pexip.
# entrypoint: true
default decision := {"action": "default"}

# Pexip wants an empty result with a refusal.
decision := object.union(object.remove(_body, ["result"]), {"result": {}}) if _body.action == "reject"

decision := _body if not _body.action == "reject"

# METADATA
# title: How the decision came about
# description: Every rule, and every condition with the value it wanted and the value it met.
# entrypoint: true
explain := {"decision": decision, "rules": _explained}

_applies(_) := true

_otherwise := otherwise if otherwise := data.otherwise

# ---- The rule book (docs/rules.md). The same lines in all six policies: each is compiled alone. ----

# The place of the first rule that holds. A comprehension looks at every member, so
# the book is read in growing slices: most calls are decided by one of the first rules.
_chosen := place if place := _holding(0, 8)[0]

else := place if place := _holding(8, 32)[0]

else := place if place := _holding(32, 128)[0]

else := place if place := _holding(128, 512)[0]

else := place if place := _holding(512, 2048)[0]

else := place if place := _holding(2048, count(data.rules))[0]

_holding(from, to) := [place |
	some i, rule in array.slice(data.rules, from, to)
	_applies(rule)
	not rule.enabled == false
	_holds(rule.when)
	place := from + i
]

_then := object.get(data.rules[_chosen], "then", {"action": "default"}) if _chosen

else := _otherwise

_rule_id := _id(_chosen, data.rules[_chosen]) if _chosen

else := "otherwise"

_id(i, rule) := object.get(rule, "id", concat("", ["#", json.marshal(i + 1)]))

# What is sent: ``then`` with its placeholders filled in, ``overrides`` laid over ``result``.
_body := object.union(_fill(object.remove(_then, ["overrides"])), object.union(_overridden, {"rule_id": _rule_id}))

_overridden := {"result": _fill(object.union(object.get(_then, "result", {}), overrides))} if overrides := _then.overrides

else := {}

# Conditions. Rego has no recursion, so every depth of group has its own function.
_holds(c) := _fits(c, _value(c.field)) if c.field

else if _all(c, [x | some x in c.all; _holds_2(x)])

else if _any(c, [x | some x in c.any; _holds_2(x)])

else if {
	is_object(c["not"])
	not _holds_2(c["not"])
}

_holds_2(c) := _fits(c, _value(c.field)) if c.field

else if _all(c, [x | some x in c.all; _holds_3(x)])

else if _any(c, [x | some x in c.any; _holds_3(x)])

else if {
	is_object(c["not"])
	not _holds_3(c["not"])
}

_holds_3(c) := _fits(c, _value(c.field)) if c.field

else if _all(c, [x | some x in c.all; _holds_4(x)])

else if _any(c, [x | some x in c.any; _holds_4(x)])

else if {
	is_object(c["not"])
	not _holds_4(c["not"])
}

_holds_4(c) := _fits(c, _value(c.field)) if c.field

else if _all(c, [x | some x in c.all; _holds_5(x)])

else if _any(c, [x | some x in c.any; _holds_5(x)])

else if {
	is_object(c["not"])
	not _holds_5(c["not"])
}

_holds_5(c) := _fits(c, _value(c.field)) if c.field

_all(c, held) if {
	is_array(c.all)
	count(held) == count(c.all)
}

_any(c, held) if {
	is_array(c.any)
	count(held) > 0
}

_value(field) := object.get(input, split(field, "."), null) if is_string(field)

else := object.get(input, field, null) if is_array(field)

else := null

_fits(c, v) := v == c.value if {
	c.op == "equals"
	is_string(v)
	not c.ignore_case
}

else := _is_set(v) == object.get(c, "value", true) if c.op == "is_set"

else := false if v == null

else if {
	c.op == "not_contains"
	is_array(v)
	count(v) > 0
	every x in v {
		_fits_one(c, x)
	}
}

else if {
	c.op != "not_contains"
	is_array(v)
	some x in v
	_fits_one(c, x)
}

else := _fits_one(c, v) if not is_array(v)

else := false

_fits_one(c, v) := _compare(c.op, v, c.value) if not c.ignore_case

else := _compare(c.op, v, _any_case(c.value)) if {
	c.op == "regex"
}

else := _compare(c.op, _lower(v), _lower(c.value))

_any_case(pattern) := concat("", ["(?i)", pattern])

_compare(op, v, wanted) := v == wanted if op == "equals"

else := contains(v, wanted) if op == "contains"

else := contains(v, wanted) == false if op == "not_contains"

else := startswith(v, wanted) if op == "starts_with"

else := endswith(v, wanted) if op == "ends_with"

else := regex.match(wanted, v) if op == "regex"

else := v in wanted if {
	op == "in_list"
	is_array(wanted)
}

else := net.cidr_contains(wanted, v) if op == "in_subnet"

else := count([cidr | some cidr in wanted; net.cidr_contains(cidr, v)]) > 0 if {
	op == "in_subnet"
	is_array(wanted)
}

else := false

_is_set(v) := false if v in [null, "", []]

else := true

_lower(v) := lower(v) if is_string(v)

else := [_lower_text(x) | some x in v] if is_array(v)

else := v

_lower_text(v) := lower(v) if is_string(v)

else := v

# Placeholders: ``{local.user}`` in a text becomes the value, ``{{`` becomes ``{``.
_fill(v) := _render(v) if is_string(v)

else := [_fill_2(x) | some x in v] if is_array(v)

else := {k: _fill_2(x) | some k, x in v} if is_object(v)

else := v

_fill_2(v) := _render(v) if is_string(v)

else := [_fill_3(x) | some x in v] if is_array(v)

else := {k: _fill_3(x) | some k, x in v} if is_object(v)

else := v

_fill_3(v) := _render(v) if is_string(v)

else := [_fill_4(x) | some x in v] if is_array(v)

else := {k: _fill_4(x) | some k, x in v} if is_object(v)

else := v

_fill_4(v) := _render(v) if is_string(v)

else := [_fill_5(x) | some x in v] if is_array(v)

else := {k: _fill_5(x) | some k, x in v} if is_object(v)

else := v

_fill_5(v) := _render(v) if is_string(v)

else := v

_render(text) := text if not contains(text, "{")

else := substring(concat("{", [_render_part(part) | some part in split(text, "{{")]), 0, 250)

_render_part(text) := concat("", [_render_piece(i, piece) | some i, piece in split(text, "{")])

# The first piece is in front of any brace; every other one starts with a name.
_render_piece(i, piece) := piece if i == 0

else := concat("", [_text(_value(name)), substring(piece, count(name) + 1, -1)]) if {
	contains(piece, "}")
	name := split(piece, "}")[0]
	split(name, ".")[0] in object.keys(input)
}

else := concat("", ["{", piece])

_text(v) := v if is_string(v)

else := "" if v == null

else := concat(", ", [_text_of(x) | some x in v]) if is_array(v)

else := json.marshal(v)

_text_of(v) := v if is_string(v)

else := json.marshal(v)

# Explanations: every rule, and every condition with what it wanted and what it met.
_explained := [{
	"id": _id(i, rule),
	"name": object.get(rule, "name", ""),
	"enabled": object.get(rule, "enabled", true) != false,
	"applies": count([1 | _applies(rule)]) > 0,
	"matched": count([1 | _holds(rule.when)]) > 0,
	"chosen": count([1 | _chosen == i]) > 0,
	"conditions": _conditions(object.get(rule, "when", null)),
} |
	some i, rule in data.rules
	is_object(rule)
]

_conditions(when) := [_condition(path, c) |
	some [path, c] in sort([[at, node] |
		walk(when, [at, node])
		_is_place(at)
	])
	_worth_showing(path, c)
]

# Conditions stand at the top, in a list of all or any, and behind not.
_is_place(path) if {
	every step in path {
		_is_step(step)
	}
	not array.slice(path, count(path) - 1, count(path)) in [["all"], ["any"]]
}

_is_step(step) if step in ["all", "any", "not"]

_is_step(step) if is_number(step)

# Groups are shown when something is wrong with them.
_worth_showing(_, c) if c.field

_worth_showing(path, c) if _note(_depth(path), c, "") != ""

_condition(path, c) := {
	"at": concat(".", [_text(step) | some step in path]),
	"field": object.get(c, "field", null),
	"op": object.get(c, "op", null),
	"value": object.get(c, "value", null),
	"actual": _value(object.get(c, "field", ["no field"])),
	"result": count([1 | _depth(path) < 5; c.field; _fits(c, _value(c.field))]) > 0,
	"note": _note(_depth(path), c, _value(object.get(c, "field", ["no field"]))),
} if is_object(c)

else := {"at": concat(".", [_text(step) | some step in path]), "result": false, "note": _note(0, c, "")}

_depth(path) := count([step | some step in path; is_string(step)])

_note(depth, c, actual) := _notes.form if not is_object(c)

else := _notes.faces if _faces(c) != 1

else := _notes.depth if depth + _groups(c) > 4

else := _notes.group if not is_array(object.get(c, "all", object.get(c, "any", [])))

else := _notes.none if not c.field

else := _notes.operator if not c.op in _operators

else := _notes.boolean if {
	c.op == "is_set"
	not is_boolean(object.get(c, "value", true))
}

else := _notes.none if c.op == "is_set"

else := _notes.missing if object.get(c, "value", null) == null

else := _notes.text if {
	c.op in ["contains", "not_contains", "starts_with", "ends_with", "regex"]
	not is_string(c.value)
}

else := _notes.regex if {
	c.op == "regex"
	not regex.is_valid(c.value)
}

else := _notes.list if {
	c.op == "in_list"
	not is_array(c.value)
}

else := _notes.subnet if {
	c.op == "in_subnet"
	not _are_subnets(c.value)
}

else := _notes.unset if actual in [null, []]

else := _notes.none

_notes := {
	"none": "",
	"form": "this is not a condition",
	"faces": "a condition has either a field, or all, or any, or not",
	"depth": "groups can be nested four deep",
	"group": "all and any need a list",
	"operator": "there is no such operator",
	"boolean": "the value must be true or false",
	"missing": "the value is missing",
	"text": "the value must be text",
	"regex": "the value is not a regular expression",
	"list": "the value must be a list",
	"subnet": "the value must be a subnet like 10.0.0.0/8, or a list of them",
	"unset": "the field is not set",
}

_faces(c) := count([face |
	some face in ["field", "all", "any", "not"]
	object.get(c, face, null) != null
])

_groups(c) := 0 if c.field

else := 1

_operators := [
	"equals",
	"contains",
	"not_contains",
	"starts_with",
	"ends_with",
	"regex",
	"in_list",
	"in_subnet",
	"is_set",
]

_are_subnets(value) if net.cidr_contains(value, value)

_are_subnets(value) if {
	is_array(value)
	every cidr in value {
		net.cidr_contains(cidr, cidr)
	}
}

# ---- End of the lines that are the same in all six policies. ----
