//go:build !windows

package lang

// systemLanguage has nothing to ask beyond the environment.
func systemLanguage() string { return "" }
