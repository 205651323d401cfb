package kernel

// hasDot reports whether there is SDOT: every Mac with an ARM processor has it.
func hasDot() bool { return true }
