package pexip.service_test

import data.pexip.service

_dialed(user, bare) := {"local": {"user": user, "bare": bare}, "call": {"call_direction": "dial_in", "protocol": "sip"}}

_leaf(op, value) := {"field": "call.text", "op": op, "value": value}

_matches(when, call) if {
	service.decision.rule_id == "tried" with data.rules as [{"id": "tried", "when": when, "then": {}}]
		with input as {"call": call}
}

test_my_vmr_has_its_pin if {
	service.decision == {
		"action": "continue",
		"result": {"service_type": "conference", "name": "my-vmr-7", "service_tag": "my-vmr", "pin": "2931"},
		"rule_id": "my-vmr",
	} with input as _dialed("my-vmr-7", "my-vmr-7@example.com")
}

test_rooms_are_reached_by_name_and_by_address if {
	every bare in ["engineering", "engineering@example.com"] {
		service.decision.result.name == "Engineering" with input as _dialed("engineering", bare)
	}
}

test_other_aliases_get_a_default_room if {
	service.decision.result.name == "Default Room - lobby" with input as _dialed("lobby", "lobby")
}

test_a_scanner_is_refused_without_a_result if {
	service.decision == {"action": "reject", "reason": "blocked user agent", "rule_id": "scanners"} with input as {
		"local": {"user": "1000"},
		"call": {"vendor": "Friendly-Scanner/2"},
	}
}

test_a_rejection_never_carries_a_service if {
	service.decision == {"action": "reject", "rule_id": "r"} with input as {}
		with data.rules as [{"id": "r", "when": {"all": []}, "then": {"action": "reject", "result": {"name": "x"}}}]
}

test_sip_is_redirected if {
	service.decision.result.new_alias == "sip:support@example.com" with input as _dialed("old-helpdesk", "old-helpdesk")
}

test_outgoing_calls_and_probes_continue if {
	every direction in ["dial_out", "non_dial"] {
		service.decision == {"action": "continue", "rule_id": "otherwise"} with input as {
			"local": {"user": "engineering", "bare": "engineering"},
			"call": {"call_direction": direction},
		}
	}
}

test_a_rule_may_name_other_directions if {
	service.decision.action == "reject" with input as {"call": {"call_direction": "non_dial", "vendor": "sipcli"}}
}

test_nothing_dialed_is_left_to_pexip if {
	service.decision.action == "default" with input as {"local": {"user": null}}
}

test_without_a_book_pexip_decides if {
	service.decision == {"action": "default"} with input as {} with data.rules as [] with data.otherwise as false
}

test_a_book_of_nonsense_is_no_opinion if {
	every rules in ["x", {"a": 1}, [1, null, {"when": 3}, {"when": {"all": []}, "then": 7}]] {
		service.decision == {"action": "default"} with input as {} with data.rules as rules with data.otherwise as 1
	}
}

test_a_disabled_rule_is_passed_over if {
	service.decision.rule_id == "b" with input as {} with data.rules as [
		{"id": "a", "enabled": false, "when": {"all": []}, "then": {}},
		{"id": "b", "when": {"all": []}, "then": {}},
	]
}

test_the_first_of_many_rules_wins if {
	every place in [0, 7, 8, 31, 32, 127, 128, 511, 512, 600] {
		rules := [{"id": json.marshal(i), "when": when, "then": {}} |
			some i in numbers.range(0, 600)
			when := {"all": [{"field": "call.n", "op": "in_list", "value": [j | some j in numbers.range(i, i)]}]}
		]
		service.decision.rule_id == json.marshal(place) with input as {"call": {"n": place}} with data.rules as rules
	}
}

test_every_operator_holds if {
	every when in [
		_leaf("equals", "Boardroom"),
		_leaf("contains", "room"),
		_leaf("not_contains", "lobby"),
		_leaf("starts_with", "Board"),
		_leaf("ends_with", "room"),
		_leaf("regex", "^B[a-z]+m$"),
		_leaf("in_list", ["x", "Boardroom"]),
		_leaf("is_set", true),
		{"field": "call.text", "op": "is_set"},
	] {
		_matches(when, {"text": "Boardroom"})
	}
}

test_every_operator_can_fail if {
	every when in [
		_leaf("equals", "boardroom"),
		_leaf("contains", "lobby"),
		_leaf("not_contains", "room"),
		_leaf("starts_with", "room"),
		_leaf("ends_with", "Board"),
		_leaf("regex", "^room"),
		_leaf("in_list", ["x"]),
		_leaf("in_subnet", "10.0.0.0/8"),
		_leaf("is_set", false),
		_leaf("like", "Boardroom"),
	] {
		not _matches(when, {"text": "Boardroom"})
	}
}

test_case_can_be_ignored if {
	every when in [
		_leaf("equals", "BOARDroom"),
		_leaf("contains", "ROOM"),
		_leaf("starts_with", "bOARD"),
		_leaf("ends_with", "ROOM"),
		_leaf("regex", "^b\\D+M$"),
		_leaf("in_list", ["x", "BOARDROOM"]),
	] {
		not _matches(when, {"text": "Boardroom"})
		_matches(object.union(when, {"ignore_case": true}), {"text": "Boardroom"})
	}
}

test_subnets_of_both_families if {
	_matches(_leaf("in_subnet", "10.20.0.0/16"), {"text": "10.20.4.9"})
	_matches(_leaf("in_subnet", ["10.0.0.0/16", "2001:db8:20::/48"]), {"text": "2001:db8:20::5"})
	not _matches(_leaf("in_subnet", ["nonsense", "10.20.0.0/16"]), {"text": "203.0.113.80"})
	not _matches(_leaf("in_subnet", "10.20.0.0/16"), {"text": "not an address"})
}

test_one_member_of_a_list_is_enough if {
	_matches(_leaf("equals", "b"), {"text": ["a", "b"]})
	not _matches(_leaf("equals", "c"), {"text": ["a", "b"]})
	_matches(_leaf("not_contains", "c"), {"text": ["a", "b"]})
	not _matches(_leaf("not_contains", "b"), {"text": ["a", "b"]})
}

test_a_field_that_is_not_set_fails_every_operator_but_is_set if {
	every call in [{}, {"text": null}, {"text": []}] {
		every op in ["equals", "contains", "not_contains", "starts_with", "ends_with", "regex", "in_list", "in_subnet"] {
			not _matches(_leaf(op, null), call)
			not _matches(_leaf(op, ""), call)
		}
		_matches(_leaf("is_set", false), call)
		_matches({"not": _leaf("equals", "x")}, call)
	}
}

test_broken_conditions_do_not_hold if {
	every when in [
		_leaf("regex", "["),
		_leaf("regex", 5),
		_leaf("in_subnet", "10.0.0.0/99"),
		_leaf("in_list", "a"),
		_leaf("contains", 5),
		{"field": "call.text"},
		{"op": "equals", "value": "a"},
		{"all": {"x": _leaf("equals", "a")}},
		{"any": _leaf("equals", "a")},
		{"any": []},
		"a",
		null,
	] {
		not _matches(when, {"text": "a"})
	}
}

test_groups_nest_four_deep if {
	yes := _leaf("equals", "a")
	_matches({"all": [{"any": [{"not": {"not": yes}}]}]}, {"text": "a"})
	not _matches({"all": [{"all": [{"all": [{"all": [{"all": [yes]}]}]}]}]}, {"text": "a"})
}

test_odd_names_are_given_as_lists if {
	when := {"field": ["idp_attributes", "http://x.example/groups"], "op": "equals", "value": "staff"}
	service.decision.rule_id == "tried" with data.rules as [{"id": "tried", "when": when, "then": {}}]
		with input as {"idp_attributes": {"http://x.example/groups": ["staff"]}}
}

_filled(text) := name if {
	name := service.decision.result.name with data.rules as []
		with data.otherwise as {"result": {"name": text}}
		with input as {"local": {"user": "søren"}, "call": {"n": 7, "yes": true, "no": null, "list": ["a", "b"]}}
}

test_placeholders_are_filled_in if {
	_filled("{local.user}'s room") == "søren's room"
	_filled("å{local.user}é{call.n}") == "åsørené7"
	_filled("{call.yes}|{call.no}|{call.list}|{call.unknown}") == "true||a, b|"
}

test_other_braces_stay if {
	_filled("{{local.user}") == "{local.user}"
	_filled("{{{local.user}}") == "{søren}"
	_filled("[0-9]{4} {nobody.knows} {open") == "[0-9]{4} {nobody.knows} {open"
}

test_filled_texts_are_not_longer_than_pexip_takes if {
	long := concat("", ["x" | some _ in numbers.range(1, 300)])
	text := service.decision.result.name with data.rules as [] with data.otherwise as {"result": {"name": "{local.user}!"}}
		with input as {"local": {"user": long}}
	count(text) == 250
}

test_overrides_lie_over_the_result if {
	service.decision.result == {"name": "x", "view": "teams", "deep": {"a": 1, "b": 2}} with input as {} with data.rules as []
		with data.otherwise as {
			"result": {"name": "x", "view": "y", "deep": {"a": 1, "b": 1}},
			"overrides": {"view": "teams", "deep": {"b": 2}},
		}
}

test_deep_results_are_filled if {
	service.decision.result.automatic_participants[0].remote_alias == "a" with data.rules as []
		with input as {"local": {"user": "a"}}
		with data.otherwise as {"result": {"automatic_participants": [{"remote_alias": "{local.user}"}]}}
}

test_explain_shows_every_condition if {
	told := service.explain with input as _dialed("old-helpdesk", "old-helpdesk")
	told.decision.rule_id == "old-helpdesk"
	[rule] := [rule | some rule in told.rules; rule.id == "old-helpdesk"]
	rule.matched
	rule.chosen
	rule.conditions[0] == {
		"at": "all.0",
		"field": "local.user",
		"op": "equals",
		"value": "old-helpdesk",
		"actual": "old-helpdesk",
		"result": true,
		"note": "",
	}
}

_note(when) := note if {
	note := service.explain.rules[0].conditions[0].note with data.rules as [{"id": "r", "when": when}]
		with input as {"call": {"text": "a"}}
}

test_explain_names_what_is_wrong if {
	_note(_leaf("like", "a")) == "there is no such operator"
	_note(_leaf("regex", "[")) == "the value is not a regular expression"
	_note(_leaf("in_list", "a")) == "the value must be a list"
	_note(_leaf("in_subnet", "10.0.0.0/99")) == "the value must be a subnet like 10.0.0.0/8, or a list of them"
	_note(_leaf("is_set", "yes")) == "the value must be true or false"
	_note(_leaf("contains", 1)) == "the value must be text"
	_note({"field": "call.text", "op": "equals"}) == "the value is missing"
	_note({"field": "call.other", "op": "equals", "value": "a"}) == "the field is not set"
	_note({"all": "a"}) == "all and any need a list"
	_note({}) == "a condition has either a field, or all, or any, or not"
	_note("x") == "this is not a condition"
	_note({"not": {"not": {"not": {"not": {"not": {}}}}}}) == "groups can be nested four deep"
	_note(_leaf("equals", "a")) == ""
}
