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

	"minitron/internal/home"
)

// OpenBrowser opens an address in the person's browser, if that is possible. It does not wait, and failure is no error, as the
// address was printed too. The address is a secret. Where other users of the machine can read the arguments that programs are
// started with, the browser is given a file that leads to the address instead; forget removes that file.
func OpenBrowser(address string) (forget func()) {
	forget = func() {}
	var cmd *exec.Cmd
	switch runtime.GOOS {
	case "windows": // only administrators can read arguments there
		cmd = exec.Command("rundll32", "url.dll,FileProtocolHandler", address)
	case "darwin":
		cmd = exec.Command("open")
	default:
		if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
			return forget // a text browser would take over this terminal
		}
		cmd = exec.Command("xdg-open")
	}
	if len(cmd.Args) == 1 {
		path, err := redirectTo(address)
		if err != nil {
			return forget
		}
		forget = func() { os.Remove(path) }
		cmd.Args = append(cmd.Args, path)
	}
	if cmd.Start() == nil {
		go cmd.Wait()
	}
	return forget
}

// redirectTo makes a private page that leads to an address. It lies in the home folder, and its name does not begin with a dot:
// browsers from Ubuntu's and other stores can see no other files.
func redirectTo(address string) (path string, err error) {
	const name = "minitron-chat-*.html"
	home, err := os.UserHomeDir()
	var file *os.File
	if err == nil {
		file, err = os.CreateTemp(home, name) // only its owner can read it
	}
	if err != nil {
		file, err = os.CreateTemp("", name)
	}
	if err != nil {
		return "", err
	}
	_, err = fmt.Fprintf(file, `<!doctype html><meta http-equiv="refresh" content="0; url=%[1]s"><a href="%[1]s">minitron-chat</a>`+"\n", address)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return file.Name(), err
}

// maxPorts is how many ports are remembered: that many programs may run at once and find their own ports again.
const maxPorts = 4

// ListenLocally opens a port of this machine: one that was used before if it is free, as browsers keep chats by port; otherwise
// any. The port is remembered in a file beside the history, if there is a folder for that.
func ListenLocally() (listener net.Listener, port int, err error) {
	file := home.Path("web-ports")
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
	if file != "" { // errors are ignored: as with the history, chatting is more important
		ports = append(ports, port)
		var text strings.Builder
		for _, port := range ports[max(0, len(ports)-maxPorts):] {
			fmt.Fprintln(&text, port)
		}
		os.MkdirAll(filepath.Dir(file), 0o700)
		home.WriteFile(file, []byte(text.String()))
	}
	return listener, port, nil
}

// readPorts returns the remembered ports that are valid.
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
