package pexip.directory_test

import data.pexip.directory

_found(q, limit) := [entry.description | some entry in answer.result] if {
	answer := directory.decision with input as {"call": {"q": q, "limit": limit, "registration_alias": "kari@example.com"}}
}

test_entries_contain_the_words_in_any_case if {
	_found("BU", 10) == ["Budget room"]
	_found("nils@", 10) == ["Nils Berg"]
	_found("nothing like it", 10) == []
}

test_no_words_show_all_sorted if {
	all_of_them := ["Budget room", "Engineering", "Help desk", "Kari Ås", "Nils Berg", "Sales"]
	_found(null, 10) == all_of_them
	_found("", 10) == all_of_them
}

test_no_more_than_asked_for if {
	_found(null, 2) == ["Budget room", "Engineering"]
	_found(null, 0) == []
}

test_ten_when_nobody_says if {
	count(directory.decision.result) == 10 with input as {"call": {"limit": null}}
		with data.entries as [{"alias": json.marshal(i)} | some i in numbers.range(1, 30)]
}

test_guests_see_nothing_of_pexips_either if {
	directory.decision == {"result": [], "ignore_local": true, "rule_id": "guests"} with input as {"call": {
		"q": "bu",
		"registration_alias": "Visitor@Guest.example",
	}}
}

test_an_entry_needs_an_alias_only if {
	directory.decision.result == [{"username": "", "alias": "x", "description": "x"}] with input as {}
		with data.entries as [{"alias": "x"}, {"description": "without alias"}, "nonsense"]
}

test_a_rule_may_leave_it_to_pexip if {
	directory.decision == {"action": "default"} with input as {} with data.rules as []
		with data.otherwise as {"action": "default"}
}

test_explain_tells_which_rule if {
	told := directory.explain with input as {"call": {"registration_alias": "a@guest.example"}}
	[rule.id | some rule in told.rules; rule.chosen] == ["guests"]
}
