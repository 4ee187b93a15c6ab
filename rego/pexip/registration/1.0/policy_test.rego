package pexip.registration_test

import data.pexip.registration

test_devices_of_our_domains_may_register if {
	every domain in ["example.com", "vc.example.com"] {
		registration.decision == {"action": "continue", "rule_id": "our-domains"} with input as {"path": {"domain": domain}}
	}
}

test_others_are_refused_with_an_empty_result if {
	every domain in ["evil.example", "notexample.com", null] {
		registration.decision == {
			"action": "reject",
			"reason": "domain is not allowed",
			"result": {},
			"rule_id": "otherwise",
		} with input as {"path": {"domain": domain}}
	}
}

test_credentials_can_be_asked_for if {
	registration.decision.result == {"username": "room7", "password": "x"} with input as {"path": {"user": "room7"}}
		with data.rules as [{
			"id": "r",
			"when": {"all": []},
			"then": {"action": "continue", "result": {"username": "{path.user}", "password": "x"}},
		}]
}

test_explain_tells_which_rule if {
	told := registration.explain with input as {"path": {"domain": "example.com"}}
	[rule.id | some rule in told.rules; rule.chosen] == ["our-domains"]
}
