package lang

import "syscall"

// systemLanguage asks Windows for the language of its own menus.
func systemLanguage() string {
	const primaryMask, russian = 0x3ff, 0x19 // LANGID: the low ten bits are the language
	id, _, _ := syscall.NewLazyDLL("kernel32.dll").NewProc("GetUserDefaultUILanguage").Call()
	if id&primaryMask == russian {
		return "ru"
	}
	return ""
}
