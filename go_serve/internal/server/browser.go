package server

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"minitron/internal/edit"
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

// maxPorts is how many ports are remembered: as many programs may run at once and find their own again.
const maxPorts = 4

// ListenLocally opens a port of this machine: one of the last times if it is free, as browsers keep chats by port; else any.
// It is remembered beside the history, if there is one.
func ListenLocally() (listener net.Listener, port int, err error) {
	file := ""
	if history := edit.HistoryPath(); history != "" {
		file = filepath.Join(filepath.Dir(history), "web-ports")
	}
	ports := readPorts(file)
	for _, port := range ports {
		if listener, err = Listen("127.0.0.1:" + strconv.Itoa(port)); err == nil {
			return listener, port, nil
		}
	}
	if listener, err = Listen("127.0.0.1:0"); err != nil {
		return nil, 0, err
	}
	port = listener.Addr().(*net.TCPAddr).Port
	if file != "" { // as with the history, chatting is more important than that this works
		ports = append(ports, port)
		var text strings.Builder
		for _, port := range ports[max(0, len(ports)-maxPorts):] {
			fmt.Fprintln(&text, port)
		}
		os.MkdirAll(filepath.Dir(file), 0o700)
		edit.WriteFile(file, []byte(text.String()))
	}
	return listener, port, nil
}

// readPorts returns what is remembered, as far as it makes sense.
func readPorts(file string) (ports []int) {
	about, err := os.Stat(file)
	if err != nil || !about.Mode().IsRegular() || about.Size() > 8*maxPorts {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for _, line := range strings.Fields(string(data)) {
		if port, err := strconv.Atoi(line); err == nil && port >= 1024 && port <= 65535 {
			ports = append(ports, port)
		}
	}
	return ports[:min(len(ports), maxPorts)]
}
