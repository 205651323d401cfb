package server

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"minitron-chat/internal/edit"
)

// OpenBrowser shows an address to the person, if that is possible. It does not wait, and a failure is none: the address
// was printed.
func OpenBrowser(address string) {
	var cmd *exec.Cmd
	switch runtime.GOOS {
	case "windows":
		cmd = exec.Command("rundll32", "url.dll,FileProtocolHandler", address)
	case "darwin":
		cmd = exec.Command("open", address)
	default:
		if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
			return // a browser for terminals would take this one
		}
		cmd = exec.Command("xdg-open", address)
	}
	if cmd.Start() == nil {
		go cmd.Wait()
	}
}

// ListenLocally opens a port of this machine: the one of the last time if it is free, as browsers keep chats by port; else
// any. Which one it was is remembered beside the history, if there is one.
func ListenLocally() (listener net.Listener, port int, err error) {
	file := ""
	if history := edit.HistoryPath(); history != "" {
		file = filepath.Join(filepath.Dir(history), "web-port")
	}
	if last := readPort(file); last > 0 {
		listener, err = Listen("127.0.0.1:" + strconv.Itoa(last))
	}
	if listener == nil {
		if listener, err = Listen("127.0.0.1:0"); err != nil {
			return nil, 0, err
		}
	}
	port = listener.Addr().(*net.TCPAddr).Port
	if file != "" { // as with the history, chatting is more important than that this works
		os.MkdirAll(filepath.Dir(file), 0o700)
		edit.WriteFile(file, []byte(strconv.Itoa(port)+"\n"))
	}
	return listener, port, nil
}

// readPort returns 0 where there is none.
func readPort(file string) int {
	about, err := os.Stat(file)
	if err != nil || !about.Mode().IsRegular() || about.Size() > 16 {
		return 0
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || port < 1024 || port > 65535 {
		return 0
	}
	return port
}
