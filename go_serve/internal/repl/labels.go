package repl

import (
	"errors"
	"io"
	"strings"

	"minitron/internal/edit"
	"minitron/internal/labels"
)

// good, bad and fix label the last answer.

func (r *repl) good(why string) { r.label(labels.Label{Kind: labels.Good, Why: why}) }

func (r *repl) bad(why string) { r.label(labels.Label{Kind: labels.Bad, Why: why}) }

// fix takes the answer that the model should have given: the rest of the line, or else the next line, for which an editor
// offers the answer that the model gave.
func (r *repl) fix(text string) (leave bool, err error) {
	if !r.canLabel() {
		return false, nil
	}
	answer := r.lastAnswer()
	if text == "" {
		if text, err = r.read(r.Lang.FixPrompt, answer, false); errors.Is(err, edit.ErrInterrupted) || errors.Is(err, io.EOF) {
			r.tell(r.Lang.NotLabelled)
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	offered := edit.NewEditor("", nil, answer).Text() // the answer as an editor shows it
	fixed := unquote(text)
	if said := strings.TrimSpace(fixed); said == "" || said == strings.TrimSpace(answer) || text == offered {
		r.tell(r.Lang.NotLabelled)
		return false, nil
	}
	r.label(labels.Label{Kind: labels.Fix, Fix: fixed})
	return false, nil
}

// lastAnswer returns what the model said last; there must be a turn.
func (r *repl) lastAnswer() string {
	messages := r.chat.Messages()
	return messages[len(messages)-1].Content
}

// canLabel reports whether there is an answer to label; if not, it tells why.
func (r *repl) canLabel() bool {
	switch {
	case r.chat.ContinuesText():
		r.tell(r.Lang.NoLabels)
	case r.Labels == nil:
		r.tell(r.Lang.LabelsOff)
	case r.chat.Turns() == 0:
		r.tell(r.Lang.NothingYet)
	default:
		return true
	}
	return false
}

// label keeps a label of the last answer.
func (r *repl) label(label labels.Label) {
	if !r.canLabel() {
		return
	}
	label.Messages, label.Answer = r.chat.Asked(), r.lastAnswer()
	count, err := r.Labels.Add(label)
	if err != nil {
		r.say(r.Lang.CannotWrite, r.Labels.Path(), r.cause(err))
		return
	}
	noted := map[string]string{labels.Good: r.Lang.NotedGood, labels.Bad: r.Lang.NotedBad, labels.Fix: r.Lang.NotedFix}
	r.say(noted[label.Kind], count)
	if count == 1 {
		r.say(r.Lang.LabelsBegin, r.Labels.Path())
	}
}

// labels shows how many labels there are, or writes them into a file.
func (r *repl) labels(typed string) {
	if r.chat.ContinuesText() || r.Labels == nil {
		r.canLabel()
		return
	}
	all, err := r.Labels.Labels()
	if err != nil {
		r.say(r.Lang.CannotRead, r.Labels.Path(), r.cause(err))
		return
	}
	if len(all) == 0 {
		r.tell(r.Lang.LabelsNone)
		return
	}
	if typed == "" {
		count := map[string]int{}
		for _, label := range all {
			count[label.Kind]++
		}
		r.say(r.Lang.LabelsCount, count[labels.Good], count[labels.Bad], count[labels.Fix], r.Labels.Path())
		return
	}
	data, err := r.Labels.Export()
	if err != nil {
		r.say(r.Lang.CannotRead, r.Labels.Path(), r.cause(err))
		return
	}
	if name, ok := r.write(typed, data); ok {
		r.say(r.Lang.LabelsSaved, name, len(all))
	}
}
