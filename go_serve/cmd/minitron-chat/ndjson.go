package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"minitron/internal/fault"
	"minitron/internal/tokenizer"
)

// untilDone reads until ctx ends, even where it waits for input then: a Read ends with the error of ctx.
type untilDone struct {
	ctx context.Context
	in  io.Reader
}

func (r untilDone) Read(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	read := make(chan result, 1)
	go func() { // after the end of ctx it may still wait, and write to p, which nobody reads any more
		n, err := r.in.Read(p)
		read <- result{n, err}
	}()
	select {
	case got := <-read:
		return got.n, got.err
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
}

// byteOrderMark is what Windows' editors put before a text.
const byteOrderMark = "\ufeff"

// eachLine answers every line of JSON on in with one on out. Blank lines are skipped. The first line that cannot be answered
// ends the work with an error that names its number.
func eachLine(in io.Reader, out io.Writer, answer func(line []byte) (any, error)) error {
	reader := bufio.NewReaderSize(in, 1<<16)
	writer := bufio.NewWriter(out)
	for number := 1; ; number++ {
		line, readErr := reader.ReadBytes('\n')
		if errors.Is(readErr, context.Canceled) {
			return errors.Join(errInterrupted, writer.Flush())
		}
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			return fmt.Errorf("standard input cannot be read: %w", readErr)
		}
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte(byteOrderMark))
		}
		if len(bytes.TrimSpace(line)) > 0 {
			result, err := answer(line)
			if errors.Is(err, errInterrupted) {
				return errors.Join(err, writer.Flush())
			}
			if err != nil {
				return errors.Join(writer.Flush(), fault.New(fault.Hint(err), "line %d: %w", number, err))
			}
			if err := json.NewEncoder(writer).Encode(result); err != nil {
				return fmt.Errorf("standard output cannot be written: %w", err)
			}
		}
		// Flush when no more input has come yet: the other side may be waiting for its answer.
		if reader.Buffered() == 0 || readErr != nil {
			if err := writer.Flush(); err != nil {
				return fmt.Errorf("standard output cannot be written: %w", err)
			}
		}
		if readErr != nil {
			return nil
		}
	}
}

// tokenize answers {"text": ...} and {"b64": ...} with {"ids": [...]}.
func tokenize(o *options, stdin io.Reader, stdout io.Writer) error {
	b, err := openBundle(o)
	if err != nil {
		return err
	}
	t, err := tokenizer.New(b.Vocab)
	if err != nil {
		return fault.New("export the bundle again", "vocab.json is not usable: %w", err)
	}
	return eachLine(stdin, stdout, func(line []byte) (any, error) {
		var input struct{ Text, B64 *string }
		if err := json.Unmarshal(line, &input); err != nil || (input.Text == nil) == (input.B64 == nil) {
			return nil, errors.New(`it is neither {"text": "..."} nor {"b64": "..."}`)
		}
		text := ""
		if input.Text != nil {
			text = *input.Text
		} else {
			data, err := base64.StdEncoding.DecodeString(*input.B64)
			if err != nil {
				return nil, errors.New(`the value of "b64" is not base64`)
			}
			text = string(data)
		}
		return map[string][]int{"ids": notNull(t.Encode(text))}, nil
	})
}

// notNull returns an empty list for nil, so that JSON shows [] and not null.
func notNull(ids []int) []int {
	if ids == nil {
		return []int{}
	}
	return ids
}

// logits answers {"ids": [...]} with the logits after the last id.
func logits(o *options, stdin io.Reader, stdout io.Writer) error {
	m, err := openModel(o)
	if err != nil {
		return err
	}
	session, err := m.NewSession()
	if err != nil {
		return err
	}
	return eachLine(stdin, stdout, func(line []byte) (any, error) {
		var input struct{ IDs []int }
		if err := json.Unmarshal(line, &input); err != nil || input.IDs == nil {
			return nil, errors.New(`it is not {"ids": [...]} with whole numbers`)
		}
		values, err := session.Logits(context.Background(), input.IDs)
		return map[string][]float32{"logits": values}, err
	})
}
