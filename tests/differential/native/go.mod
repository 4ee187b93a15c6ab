// Built with -modfile naming the toolkit's go.mod, so that both take the same OPA.
module native

go 1.26.0
