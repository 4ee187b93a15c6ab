package pexip.media_location_test

import data.pexip.media_location

_from(address) := decision if {
	decision := media_location.decision with input as {"call": {"remote_address": address, "ms_subnet": []}}
}

test_a_subnet_has_its_location if {
	_from("10.20.4.9").result == {"location": "Bergen", "overflow_locations": ["Oslo", "Frankfurt"]}
	_from("2001:db8:20::5").result.location == "Bergen"
}

test_the_smaller_subnet_comes_first if {
	_from("10.20.200.7").result.location == "Frankfurt"
	_from("10.20.200.7").matched == "10.20.200.0/24"
}

test_other_addresses_are_left_to_pexip if {
	every address in ["203.0.113.80", "", null, "nonsense"] {
		_from(address).action == "default"
	}
}

test_the_subnet_header_counts_too if {
	media_location.decision.result.location == "Oslo" with input as {"call": {
		"remote_address": "203.0.113.80",
		"ms_subnet": ["192.0.2.0", "10.30.0.0"],
	}}
}

test_explain_tells_which_rule if {
	told := media_location.explain with input as {"call": {"remote_address": "10.30.0.1"}}
	[rule.id | some rule in told.rules; rule.chosen] == ["oslo"]
}
