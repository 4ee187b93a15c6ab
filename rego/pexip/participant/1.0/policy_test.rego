package pexip.participant_test

import data.pexip.participant

_nils(attributes) := {
	"call": {"service_tag": "clinical", "remote_display_name": "Nils", "protocol": "webrtc"},
	"idp_attributes": attributes,
}

test_a_clinician_becomes_host if {
	participant.decision == {
		"action": "continue",
		"result": {"preauthenticated_role": "chair", "bypass_lock": true, "remote_display_name": "Nils (L3)"},
		"rule_id": "clinicians",
	} with input as _nils({"groups": ["staff", "clinicians"], "clearance": ["L3"]})
}

test_a_low_clearance_is_refused if {
	participant.decision.result.reject_reason == "Clearance L2 or higher is required" with input as _nils({
		"groups": ["clinicians"],
		"clearance": ["L1"],
	})
}

test_without_sign_in_the_pin_prompt_survives if {
	participant.decision == {"action": "continue", "result": {}, "rule_id": "otherwise"} with input as _nils({})
}

test_a_blocked_domain_is_refused_with_a_reason if {
	participant.decision.action == "reject" with input as {"remote": {"domain": "spam.example"}}
}

test_colleagues_who_signed_in_are_hosts_in_both_requests if {
	every type in ["api", "standard"] {
		participant.decision.result == {"preauthenticated_role": "chair", "call_tag": "staff"} with input as {"call": {
			"remote_alias": "Kari@Example.com",
			"participant_type": type,
			"idp_uuid": "7a1e",
		}}
	}
}

test_the_participant_type_can_decide if {
	participant.decision.rule_id == "old-endpoints" with input as {"call": {"participant_type": "standard", "protocol": "h323"}}
	participant.decision.rule_id == "otherwise" with input as {"call": {"participant_type": "api", "protocol": "h323"}}
}

test_explain_tells_which_rule if {
	told := participant.explain with input as {"remote": {"domain": "spam.example"}}
	[rule.id | some rule in told.rules; rule.chosen] == ["blocked-callers"]
}
