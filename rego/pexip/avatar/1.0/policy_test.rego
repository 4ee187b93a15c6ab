package pexip.avatar_test

import data.pexip.avatar

test_a_name_stands_for_an_image_of_the_book if {
	avatar.decision == {"result": {"image": data.images.silhouette}, "rule_id": "people"} with input as {"path": {"domain": "example.com"}}
}

test_nobody_else_has_a_picture if {
	avatar.decision == {"action": "default"} with input as {"path": {"domain": "corp.example"}}
}

test_an_image_can_stand_in_the_rule if {
	avatar.decision.result.image == "iVBORw0KGgo=" with input as {}
		with data.rules as [{"id": "r", "when": {"all": []}, "then": {"result": {"image": "iVBORw0KGgo="}}}]
		with data.images as {}
}

test_explain_tells_which_rule if {
	told := avatar.explain with input as {"path": {"domain": "example.com"}}
	[rule.id | some rule in told.rules; rule.chosen] == ["people"]
}
