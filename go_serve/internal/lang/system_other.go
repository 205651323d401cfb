//go:build !windows

package lang

// systemLanguage returns "": these systems name the language in the environment alone.
func systemLanguage() string { return "" }
