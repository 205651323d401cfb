package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"minitron/internal/fault"
	"minitron/internal/kernel"
)

const tiny = "../../internal/model/testdata/llama-qknorm"

// empty is the program without a model, full the one with the tiny model laid into it by an overlay.
var empty, full string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	folder, err := os.MkdirTemp("", "minitron-chat")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	here, _ := os.Getwd()
	replace := make(map[string]string)
	for _, name := range []string{"config.json", "vocab.json", "weights.bin"} {
		replace[filepath.Join(here, "bundle", name)] = filepath.Join(here, tiny, name)
	}
	overlay, _ := json.Marshal(map[string]any{"Replace": replace})
	overlayPath := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(overlayPath, overlay, 0o600); err != nil {
		panic(err)
	}
	empty, full = filepath.Join(folder, "empty.exe"), filepath.Join(folder, "full.exe")
	goTool := filepath.Join(runtime.GOROOT(), "bin", "go")
	for _, args := range [][]string{{"-o", empty}, {"-overlay", overlayPath, "-o", full}} {
		cmd := exec.Command(goTool, append(append([]string{"build"}, args...), ".")...)
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s\n%v\n", out, err)
			return 1
		}
	}
	return m.Run()
}

// runProgram returns what a program wrote and its exit code.
func runProgram(t testing.TB, program, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	err := cmd.Run()
	if _, isExit := err.(*exec.ExitError); err != nil && !isExit {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

func TestErrors(t *testing.T) {
	usageHint := "hint: run minitron-chat --help\n"
	unknownKernel := told(kernel.Use("abacus"))
	tests := []struct {
		args   []string
		stdin  string
		code   int
		stderr string
	}{
		{[]string{"info"}, "", 1, "minitron-chat: error: there is no model inside this program\nhint: name one with --model DIR, or build a program with one: make binary\n"},
		{[]string{"--model", "/no/such", "info"}, "", 1, "minitron-chat: error: there is no directory /no/such\nhint: name a directory with config.json, vocab.json and weights.bin\n"},
		{[]string{"--model", "../wasm", "info"}, "", 1, "minitron-chat: error: there is no config.json in the bundle\nhint: name a directory with config.json, vocab.json and weights.bin\n"},
		{[]string{"talk"}, "", 2, "minitron-chat: error: there is no command \"talk\"\n" + usageHint},
		{[]string{"info", "selftest"}, "", 2, "minitron-chat: error: unexpected argument \"selftest\"\n" + usageHint},
		{[]string{"--wrong"}, "", 2, "minitron-chat: error: there is no flag --wrong\n" + usageHint},
		{[]string{"-p"}, "", 2, "minitron-chat: error: -p needs a value\n" + usageHint},
		{[]string{"-p", ""}, "", 2, "minitron-chat: error: -p needs a text\n" + usageHint},
		{[]string{"-p", "x", "--temp", "-1"}, "", 2, "minitron-chat: error: --temp is -1, it must be within 0..100\n" + usageHint},
		{[]string{"-p", "x", "--temp", "NaN"}, "", 2, "minitron-chat: error: --temp is NaN, it must be within 0..100\n" + usageHint},
		{[]string{"-p", "x", "--max-tokens", "0"}, "", 2, "minitron-chat: error: --max-tokens is 0, it must be within 1..1048576\n" + usageHint},
		{[]string{"serve", "--addr", "0.0.0.0:0", "--model", tiny}, "", 2, "minitron-chat: error: serving others than this machine needs a key: --key KEY, or MINITRON_KEY in the environment\n" + usageHint},
		{[]string{"serve", "--addr", "8080", "--model", tiny}, "", 2, "minitron-chat: error: --addr 8080 is no address with a port: address 8080: missing port in address\n" + usageHint},
		{[]string{"serve", "--key", "", "--model", tiny}, "", 2, "minitron-chat: error: the key must be of visible ASCII characters, without spaces\n" + usageHint},
		{[]string{"serve", "--slots", "0"}, "", 2, "minitron-chat: error: --slots is 0, it must be within 1..1024\n" + usageHint},
		{[]string{"web", "--addr", "127.0.0.1:0"}, "", 2, "minitron-chat: error: minitron-chat web takes no flag --addr\n" + usageHint},
		{[]string{"info", "-p", "x"}, "", 2, "minitron-chat: error: minitron-chat info takes no flag -p\n" + usageHint},
		{[]string{"info", "--kernel", "abacus"}, "", 1, unknownKernel},
		{[]string{"info", "--kernel", ""}, "", 1, strings.Replace(unknownKernel, "abacus", "", 1)},
		{[]string{"info", "--bandwidth"}, "", 2, "minitron-chat: error: minitron-chat info takes no flag --bandwidth\n" + usageHint},
		{[]string{"info", "--seed", "1"}, "", 2, "minitron-chat: error: minitron-chat info takes no flag --seed\n" + usageHint},
		{[]string{"info", "--temp", "1", "--seed", "1", "--addr", "x"}, "", 2, "minitron-chat: error: minitron-chat info takes no flag --addr\n" + usageHint}, // the same each time
		{[]string{"tokenize", "--model", tiny}, "{\"text\": \"a\"}\n{}\n", 1, "minitron-chat: error: line 2: it is neither {\"text\": \"...\"} nor {\"b64\": \"...\"}\n"},
		{[]string{"tokenize", "--model", tiny}, "\n[1]\n", 1, "minitron-chat: error: line 2: it is neither {\"text\": \"...\"} nor {\"b64\": \"...\"}\n"},
		{[]string{"tokenize", "--model", tiny}, "{\"b64\": \"?\"}", 1, "minitron-chat: error: line 1: the value of \"b64\" is not base64\n"},
		{[]string{"logits", "--model", tiny}, "{\"ids\": [272]}", 1, "minitron-chat: error: line 1: the id 272 is outside the vocabulary (0 to 271)\n"},
		{[]string{"logits", "--model", tiny}, "{\"ids\": []}", 1, "minitron-chat: error: line 1: the list of ids is empty\nhint: give at least one id\n"},
		{[]string{"logits", "--model", tiny}, "{\"ids\": [1.5]}", 1, "minitron-chat: error: line 1: it is not {\"ids\": [...]} with whole numbers\n"},
		{[]string{"complete", "--model", tiny}, "{\"text\": \"hi\"}", 1, "minitron-chat: error: line 1: it is not {\"messages\": [{\"role\": ..., \"content\": ...}, ...]}\n"},
		{[]string{"complete", "--model", tiny}, "{\"messages\": []}", 1, "minitron-chat: error: line 1: the last message must be a user's\n"},
		{[]string{"--model", tiny, "-p", "-"}, "\n", 1, "minitron-chat: error: there is nothing on standard input\nhint: pipe a text into it, or give it one: -p TEXT\n"},
		{[]string{"--model", tiny, "-p", strings.Repeat("x", 100)}, "", 1, "minitron-chat: error: the message is too long: it has 100 tokens, 60 fit\nhint: shorten it, or say it in several messages\n"},
		{[]string{"--model", tiny, "--system", strings.Repeat("x", 100), "-p", "x"}, "", 1, "minitron-chat: error: the system message leaves no room for a message in the context of this model\nhint: shorten the system message, or leave it out\n"},
	}
	for _, test := range tests {
		_, stderr, code := runProgram(t, empty, test.stdin, test.args...)
		if code != test.code || stderr != test.stderr {
			t.Errorf("%q: exit %d\n got %q\nwant %q (%d)", test.args, code, stderr, test.stderr, test.code)
		}
	}
}

// TestFlagErrors wants this program's words for every error of the flag package.
func TestFlagErrors(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"--wrong", "there is no flag --wrong"},
		{"-x=1", "there is no flag -x"},
		{"info --wrong", "there is no flag --wrong"},
		{"---temp", "there is no flag ---temp"},
		{"--=1", "there is no flag --=1"},
		{"--two\nlines", "there is no flag --two\nlines"},
		{"-p", "-p needs a value"},
		{"serve --origin", "--origin needs a value"},
		{"--temp abc", `--temp "abc" is not a number`},
		{"-temp=", `--temp "" is not a number`},
		{"--temp 1e999", `--temp "1e999" is out of range`},
		{"--top-k 1.5", `--top-k "1.5" is not a whole number`},
		{"--top-k 99999999999999999999", `--top-k "99999999999999999999" is out of range`},
		{"--seed -1", `--seed "-1" is not a whole number from 0 on`},
		{"info --json=perhaps", `--json "perhaps" is not true or false`},
	} {
		_, err := parseOptions(strings.Split(test.args, " "))
		if _, is := err.(usageError); !is || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.args, err, test.want)
		}
	}
}

// TestQuestionOnAPipe asks the same in three ways: as an argument, piped before one, and piped alone.
func TestQuestionOnAPipe(t *testing.T) {
	ask := func(stdin, text string) string {
		out, stderr, code := runProgram(t, empty, stdin, "--model", tiny, "--temp", "0", "--max-tokens", "8", "-p", text)
		if code != 0 || stderr != "" || len(out) < 2 {
			t.Errorf("%q: exit %d, %q, %q", text, code, out, stderr)
		}
		return out
	}
	want := ask("", "name: Nadia\nwho?")
	if got := ask("name: Nadia\r\n", "who?"); got != want {
		t.Errorf("before a text: %q, want %q", got, want)
	}
	if got := ask("name: Nadia\nwho?\n", "-"); got != want {
		t.Errorf("alone: %q, want %q", got, want)
	}
	if got := ask("\ufeffname: Nadia\nwho?\n", "-"); got != want {
		t.Errorf("behind a byte order mark: %q, want %q", got, want)
	}
	if ask("", "who?") == want {
		t.Error("the answer does not depend on what was piped: the test sees nothing")
	}
}

// told is what the program writes of an error.
func told(err error) string {
	text := fmt.Sprintf("minitron-chat: error: %v\n", err)
	if hint := fault.Hint(err); hint != "" {
		text += "hint: " + hint + "\n"
	}
	return text
}

// TestKernel runs every kernel of this machine, named by flag and by environment.
func TestKernel(t *testing.T) {
	for _, name := range kernel.Names() {
		out, stderr, code := runProgram(t, full, "", "selftest", "--kernel", name)
		if !strings.HasPrefix(out, "ok: checksums agree; kernel "+name+"; ") || code != 0 {
			t.Errorf("selftest --kernel %s: %q, %q, exit %d", name, out, stderr, code)
		}
	}
	t.Setenv("MINITRON_KERNEL", "abacus")
	if _, stderr, code := runProgram(t, full, "", "info"); stderr != told(kernel.Use("abacus")) || code != 1 {
		t.Errorf("MINITRON_KERNEL=abacus: %q, exit %d", stderr, code)
	}
	if _, stderr, code := runProgram(t, full, "", "info", "--kernel", kernel.Names()[0]); code != 0 {
		t.Errorf("--kernel is weaker than MINITRON_KERNEL: %q, exit %d", stderr, code)
	}
}

// TestDamagedWeights flips a bit of the weights: every command that computes says so and nothing else, the chat before its
// first answer.
func TestDamagedWeights(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"config.json", "vocab.json", "weights.bin"} {
		data, err := os.ReadFile(filepath.Join(tiny, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "weights.bin" {
			data[len(data)/2] ^= 1
		}
		os.WriteFile(filepath.Join(folder, name), data, 0o600)
	}
	for _, args := range [][]string{{"-p", "hello"}, {"complete"}, {"logits"}, {"bench"}, {"selftest"}, {"info"}, {}} {
		stdin := map[string]string{"complete": `{"messages": [{"role": "user", "content": "hello"}]}`, "logits": `{"ids": [1]}`, "": "hello\n"}[strings.Join(args, "")]
		out, stderr, code := runProgram(t, empty, stdin, append([]string{"--model", folder}, args...)...)
		last := stderr[max(0, strings.Index(stderr, "minitron-chat: error:")):]
		if code != 1 || out != "" || !strings.HasPrefix(last, "minitron-chat: error: weights.bin is damaged (its checksum is ") || strings.Count(last, "\n") != 2 {
			t.Errorf("%v: %q, %q, exit %d", args, out, stderr, code)
		}
	}
	if out, stderr, code := runProgram(t, empty, `{"text": "hi"}`, "--model", folder, "tokenize"); out == "" || code != 0 {
		t.Errorf("tokenize needs no weights: %q, exit %d", stderr, code)
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"-h"}, {"bench", "--help"}} {
		if out, stderr, code := runProgram(t, empty, "", args...); out != usage || stderr != "" || code != 0 {
			t.Errorf("%v: exit %d, %q", args, code, stderr)
		}
	}
	if out, _, code := runProgram(t, empty, "", "--version"); out != "minitron-chat dev (bundle format 2)\n" || code != 0 {
		t.Errorf("--version: %q", out)
	}
}

// TestEmbeddedEqualsDirectory runs the program that carries the model and the one that reads it.
func TestEmbeddedEqualsDirectory(t *testing.T) {
	commands := [][]string{{"selftest"}, {"info", "--json"}, {"-p", "hello", "--seed", "3", "--max-tokens", "9"}, {"logits"}}
	for _, args := range commands {
		stdin := "{\"ids\": [1, 2, 3]}\n"
		a, stderr, code := runProgram(t, full, stdin, args...)
		b, _, _ := runProgram(t, empty, stdin, append([]string{"--model", tiny}, args...)...)
		if a != b || a == "" || code != 0 || stderr != "" {
			t.Errorf("%v: embedded %q, directory %q, exit %d, %q", args, a, b, code, stderr)
		}
	}
}

func TestSelftestFindsDamage(t *testing.T) {
	config, err := os.ReadFile(filepath.Join(tiny, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	out, _, code := runProgram(t, empty, "", "selftest", "--model", tiny)
	if want := "ok: checksums agree; kernel " + kernel.Name() + "; 4 prompts, 31 tokens the same, logits within 0.00"; !strings.HasPrefix(out, want) || code != 0 {
		t.Errorf("selftest: %q, exit %d, want %q", out, code, want)
	}
	folder := t.TempDir()
	for _, name := range []string{"vocab.json", "weights.bin"} {
		data, _ := os.ReadFile(filepath.Join(tiny, name))
		os.WriteFile(filepath.Join(folder, name), data, 0o600)
	}
	config = append(config[:bytes.LastIndex(config, []byte(`,"crc32"`))], '}') // it would find everything before the test does
	for from, to := range map[string]string{`"logits":[`: `"logits":[99,`, `"greedy":[`: `"greedy":[7,`, `"sha256":"`: `"sha256":"0`} {
		damaged := strings.Replace(string(config), from, to, 1)
		if strings.HasPrefix(from, `"sha256`) { // keep its length
			at := strings.Index(damaged, to) + len(to) + 63
			damaged = damaged[:at] + damaged[at+1:]
		}
		os.WriteFile(filepath.Join(folder, "config.json"), []byte(damaged), 0o600)
		out, stderr, code := runProgram(t, empty, "", "selftest", "--model", folder)
		if code != 1 || out != "" || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%s: exit %d, %q, %q", from, code, out, stderr)
		}
	}
}

func TestTokenizeAndLogits(t *testing.T) {
	out, _, code := runProgram(t, empty, "\ufeff{\"text\": \"hi\"}\n\n{\"b64\": \"/w==\"}\n{\"text\": \"<|user|>\"}\n{\"text\": \"\"}", "tokenize", "--model", tiny)
	want := "{\"ids\":[109,110]}\n{\"ids\":[244,196,194]}\n{\"ids\":[65,129,122,120,106,119,129,67]}\n{\"ids\":[]}\n"
	if out != want || code != 0 {
		t.Errorf("tokenize: %q, want %q", out, want)
	}
	var config struct {
		Selftest []struct {
			IDs    []int
			Logits []float32
		}
	}
	data, _ := os.ReadFile(filepath.Join(tiny, "config.json"))
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	line, _ := json.Marshal(map[string][]int{"ids": config.Selftest[2].IDs})
	out, _, _ = runProgram(t, empty, string(line), "logits", "--model", tiny)
	var got struct{ Logits []float32 }
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Logits) != 272 {
		t.Fatalf("logits: %q", out)
	}
	for i, want := range config.Selftest[2].Logits {
		if math.Abs(float64(got.Logits[i]-want)) > 5e-3 { // the cache rounds to fp16
			t.Errorf("logit %d is %v, want %v", i, got.Logits[i], want)
		}
	}
}

func TestComplete(t *testing.T) {
	stdin := `{"messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}], "max_tokens": 3}
`
	out, stderr, code := runProgram(t, full, stdin, "complete")
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d, %q", code, stderr)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var first struct {
		Text    string
		IDs     []int
		Stopped string
	}
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || len(lines) != 2 {
		t.Fatalf("%q: %v", out, err)
	}
	if len(first.IDs) > 5 || !slices.Contains([]string{"end", "max_tokens"}, first.Stopped) {
		t.Errorf("%+v", first)
	}
	// The same as -p, which is greedy with --temp 0.
	answer, _, _ := runProgram(t, full, "", "-p", "hello", "--temp", "0", "--max-tokens", "5")
	if answer != first.Text+"\n" {
		t.Errorf("-p says %q, complete %q", answer, first.Text)
	}
}

func TestBench(t *testing.T) {
	out, stderr, code := runProgram(t, full, "", "bench", "--json", "--repeat", "2", "--threads", "2", "--bandwidth")
	var got map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || stderr != "" {
		t.Fatalf("%q, %q, exit %d, %v", out, stderr, code, err)
	}
	keys := []string{"decode_tps", "dtype", "kernel", "load_ms", "params", "prefill_tps", "read_gbps", "rss_mb", "threads"}
	var have []string
	for key, value := range got {
		have = append(have, key)
		if number, ok := value.(float64); ok && !(number > 0) {
			t.Errorf("%s is %v", key, number)
		}
	}
	if slices.Sort(have); !slices.Equal(have, keys) {
		t.Errorf("keys %v, want %v", have, keys)
	}
}

func TestChatThroughPipes(t *testing.T) {
	out, stderr, code := runProgram(t, full, "hello\n/quit\n", "--temp", "0", "--max-tokens", "5")
	answer, _, _ := runProgram(t, full, "", "-p", "hello", "--temp", "0", "--max-tokens", "5")
	if out != answer || code != 0 || !strings.HasPrefix(stderr, "This is llama-qknorm. ") || strings.ContainsAny(out+stderr, "\x1b>") {
		t.Errorf("chat: %q, %q, exit %d; -p: %q", out, stderr, code, answer)
	}
}

// TestInterrupt sends Ctrl-C while an answer is written.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no such signal")
	}
	cmd := exec.Command(full, "complete", "--max-tokens", "50")
	stdin, typing, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer typing.Close()
	var out strings.Builder
	cmd.Stdin, cmd.Stdout = stdin, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	go func() { // dialogues without end
		for {
			if _, err := io.WriteString(typing, `{"messages": [{"role": "user", "content": "hello"}]}`+"\n"); err != nil {
				return
			}
		}
	}()
	time.Sleep(300 * time.Millisecond)
	cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitInterrupted {
		t.Errorf("exit %d, %v, want %d", cmd.ProcessState.ExitCode(), err, exitInterrupted)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for i, line := range lines { // answers that were finished are whole
		if !json.Valid([]byte(line)) {
			t.Errorf("line %d of %d is %q", i, len(lines), line)
		}
	}
}

// TestInterruptWhileWaiting sends Ctrl-C while `complete` waits for a line, or for the end of one.
func TestInterruptWhileWaiting(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no such signal")
	}
	for _, begun := range []string{"", `{"messages": [`} {
		cmd := exec.Command(full, "complete", "--max-tokens", "5")
		typing, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		answers, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		io.WriteString(typing, `{"messages": [{"role": "user", "content": "hello"}]}`+"\n")
		stuck := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		line, err := bufio.NewReader(answers).ReadBytes('\n') // now it listens to signals, and waits
		if err != nil || !json.Valid(line) {
			t.Errorf("%q, %v", line, err)
		}
		io.WriteString(typing, begun)
		cmd.Process.Signal(syscall.SIGINT)
		rest, _ := io.ReadAll(answers)
		cmd.Wait()
		stuck.Stop()
		if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || len(rest) > 0 {
			t.Errorf("after %q: exit %d and %q, want %d", begun, code, rest, exitInterrupted)
		}
	}
}

// TestInterruptOnAPipe sends Ctrl-C to a chat whose messages come from a pipe: nobody types there, so it ends the program.
func TestInterruptOnAPipe(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no such signal")
	}
	cmd := exec.Command(full, "--max-tokens", "5")
	cmd.Stdin = strings.NewReader(strings.Repeat("hello\n", 100_000))
	answers, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	bufio.NewReader(answers).ReadBytes('\n')
	cmd.Process.Signal(syscall.SIGINT)
	go io.Copy(io.Discard, answers)
	stuck := time.AfterFunc(2*time.Second, func() { cmd.Process.Kill() })
	cmd.Wait()
	if !stuck.Stop() {
		t.Error("it goes on")
	}
}
