// Package edit reads messages from a terminal key by key: a line editor with history. It knows neither chats nor models.
//
// The parts, from the bottom up: line (text and cursor), keys (bytes to keys), Editor (keys to text), layout (text to rows of a
// window), screen (rows to escape sequences), Reader (all of it on a terminal).
package edit

import (
	"slices"
	"strings"

	"minitron/internal/width"
)

// Action is what a key asks for beyond a change of the text.
type Action int

const (
	None Action = iota
	Submit
	Interrupted // Ctrl-C
	Leave       // Ctrl-D on an empty line
	Stop        // Ctrl-Z
	ClearScreen
)

// Words are the editor's own texts.
type Words struct {
	Searching string // stands before the text that is searched for
	NotFound  string // the same, if no entry holds it
}

// Editor is one message being typed: keys go in, Layout shows it. It touches no terminal.
type Editor struct {
	Prompt   string
	Words    Words
	Complete func(text string) []string // what text may be completed to; nil: nothing
	Goes     func(text string) bool     // whether Enter after text begins a new line of it rather than sending it; nil: never

	line
	history  []string       // oldest first
	drafts   map[int][]rune // changed entries, and at len(history) the message itself
	entry    int            // the entry that is shown; len(history) is the message itself
	search   *search
	hint     string // below the text until the next key
	last     Code   // the key before
	finished bool   // the message is done: no search and no hint is shown
}

// search is the state of a Ctrl-R search, which goes from the newest entry to the oldest.
type search struct {
	text   []rune
	entry  int // the one that was found; len(history) at the beginning
	at     int // where in the entry
	failed bool
	before line
	shown  int // the entry that was shown before
}

// NewEditor starts a message that holds text already. history is oldest first and not changed.
func NewEditor(prompt string, history []string, text string) *Editor {
	e := &Editor{Prompt: prompt, history: history, entry: len(history), drafts: make(map[int][]rune)}
	e.set(clean(text))
	return e
}

// Text returns what was typed.
func (e *Editor) Text() string { return string(e.text) }

// Handle applies a key to the message, and returns what the key asks for beyond that.
func (e *Editor) Handle(key Key) Action {
	if key.Code == Nothing {
		return None
	}
	e.hint = ""
	last := e.last
	e.last = key.Code
	if e.search != nil && e.searchKey(key) {
		return None
	}
	switch key.Code {
	case Text, Paste:
		text := clean(key.Text)
		if key.Code == Text { // newlines come as Enter
			text = slices.DeleteFunc(text, func(r rune) bool { return r == '\n' })
		}
		e.insert(text)
	case NewLine:
		e.insert([]rune{'\n'})
	case Enter:
		if e.Goes != nil && e.Goes(e.Text()) {
			e.set(append(e.text, '\n'))
			return None
		}
		return e.finish(Submit)
	case Interrupt:
		return e.finish(Interrupted)
	case EndOfInput:
		if len(e.text) == 0 {
			return e.finish(Leave)
		}
		e.cut(e.at, e.right())
	case Suspend:
		return Stop
	case Clear:
		return ClearScreen
	case Tab:
		e.complete()
	case Search:
		e.search = &search{entry: len(e.history), before: e.line, shown: e.entry}
	case Up:
		if !e.up() {
			e.show(e.entry - 1)
		}
	case Down:
		if !e.down() {
			e.show(e.entry + 1)
		}
	default:
		e.editKey(key.Code, last)
	}
	return None
}

// editKey moves the cursor or removes text.
func (e *Editor) editKey(code, last Code) {
	switch code {
	case Left:
		e.at = e.left()
	case Right:
		e.at = e.right()
	case WordLeft:
		e.at = e.wordLeft(inWord)
	case WordRight:
		e.at = e.wordRight(inWord)
	case Home:
		e.at = e.start()
	case End:
		e.at = e.end()
	case Backspace:
		e.cut(e.left(), e.at)
	case Delete:
		e.cut(e.at, e.right())
	case KillStart:
		from := e.start()
		if from == e.at {
			from = e.left() // the newline before
		}
		e.kill(from, e.at, kills(last))
	case KillEnd:
		to := e.end()
		if to == e.at {
			to = e.right()
		}
		e.kill(e.at, to, kills(last))
	case KillSpaced:
		e.kill(e.wordLeft(notSpace), e.at, kills(last))
	case KillWordLeft:
		e.kill(e.wordLeft(inWord), e.at, kills(last))
	case KillWordRight:
		e.kill(e.at, e.wordRight(inWord), kills(last))
	case Yank:
		e.insert(e.killed)
	case Swap:
		e.swap()
	}
}

func kills(code Code) bool { return code >= KillStart && code <= KillWordRight }

func (e *Editor) finish(a Action) Action {
	e.finished = true
	e.at = len(e.text)
	return a
}

// show replaces the text by an entry of the history. Changes to the one shown now are kept until the message is sent.
func (e *Editor) show(entry int) {
	if entry < 0 || entry > len(e.history) {
		return
	}
	e.drafts[e.entry] = e.text
	e.entry = entry
	if draft, changed := e.drafts[entry]; changed {
		e.set(draft)
		return
	}
	e.set([]rune(e.history[entry]))
}

// complete completes the text by what all candidates have in common; if that is nothing new, it shows the candidates.
func (e *Editor) complete() {
	if e.Complete == nil || e.at != len(e.text) {
		return
	}
	text := e.Text()
	candidates := e.Complete(text)
	if len(candidates) == 0 {
		return
	}
	common := candidates[0]
	for _, c := range candidates[1:] {
		for !strings.HasPrefix(c, common) {
			common = common[:len(common)-1]
		}
	}
	switch {
	case len(candidates) == 1, len(common) > len(text):
		e.set(clean(common))
	default:
		names := make([]string, len(candidates))
		for i, c := range candidates {
			names[i] = c[strings.LastIndexByte(c, ' ')+1:]
		}
		e.hint = strings.Join(names, "  ")
	}
}

// searchKey handles a key during a search. It reports false if the key has its usual meaning too; such a key ends the search,
// unless it is Clear or Suspend.
func (e *Editor) searchKey(key Key) bool {
	s := e.search
	switch key.Code {
	case Text, Paste:
		s.text = append(s.text, clean(key.Text)...)
		e.find(s.entry, -1)
	case Backspace:
		if len(s.text) > 0 {
			s.text = s.text[:width.Previous(s.text, len(s.text))]
			e.find(len(e.history), -1)
		}
	case Search:
		e.find(s.entry-1, -1)
	case SearchBack:
		e.find(s.entry+1, 1)
	case Cancel, Interrupt:
		e.line, e.entry, e.search = s.before, s.shown, nil
	case Clear, Suspend:
		return false
	case Escape:
		e.search = nil
	default:
		e.search = nil
		return false
	}
	return true
}

// find shows the first entry that holds what is searched for, from the entry from on in the direction step.
func (e *Editor) find(from, step int) {
	s := e.search
	wanted := string(s.text)
	for i := min(from, len(e.history)); i >= 0 && i <= len(e.history); i += step {
		if i == len(e.history) || wanted == "" {
			continue
		}
		if at := strings.Index(e.history[i], wanted); at >= 0 {
			e.drafts[s.shown] = s.before.text // Down comes back to it
			s.entry, s.failed = i, false
			e.entry, e.text = i, []rune(e.history[i])
			e.at = width.Settle(e.text, len([]rune(e.history[i][:at])))
			return
		}
	}
	s.failed = wanted != ""
}
