"""What authors do with a policy before it is published: test, compare, measure, try out."""
