package kernel

import "syscall"

// hasDot reports whether the processor has SDOT.
func hasDot() bool {
	const armV82DotProduct = 43 // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE; systems that do not know it say no
	present := syscall.NewLazyDLL("kernel32.dll").NewProc("IsProcessorFeaturePresent")
	if present.Find() != nil {
		return false
	}
	has, _, _ := present.Call(armV82DotProduct)
	return has != 0
}
