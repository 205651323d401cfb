package kernel

// hasDot reports whether the processor has SDOT: that of every Mac with an ARM processor does.
func hasDot() bool { return true }
