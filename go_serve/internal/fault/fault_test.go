package fault

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// TestError pins what a person sees and what a program finds.
func TestError(t *testing.T) {
	err := New("try again", "could not read %s: %w", "a.txt", io.ErrUnexpectedEOF)
	if err.Error() != "could not read a.txt: unexpected EOF" {
		t.Errorf("the sentence is %q", err)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	if plain := New("", "no %d", 5); plain.Error() != "no 5" || errors.Unwrap(plain) != nil {
		t.Errorf("without a cause: %q under which is %v", plain, errors.Unwrap(plain))
	}
}

func TestHint(t *testing.T) {
	inner := New("inner hint", "inner")
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{io.EOF, ""},
		{inner, "inner hint"},
		{fmt.Errorf("around: %w", inner), "inner hint"},
		{New("outer hint", "outer: %w", inner), "outer hint"},
		{New("", "outer: %w", inner), ""}, // the outer error knows better: there is nothing to do
	} {
		if got := Hint(test.err); got != test.want {
			t.Errorf("the hint of %v is %q, want %q", test.err, got, test.want)
		}
	}
}

// gone is a fault as the runtime reports it; kernel's TestLost has true ones.
type gone struct{}

func (gone) Addr() uintptr { return 0x1000 }

// TestMapped wants an error for a lost file, and every other panic to go on.
func TestMapped(t *testing.T) {
	ran := false
	if err := Mapped("a.bin", func() { ran = true }); err != nil || !ran {
		t.Errorf("nothing wrong: %v, ran %v", err, ran)
	}
	err := Mapped("a.bin", func() { panic(gone{}) })
	if err == nil || err.Error() != "a.bin was cut or replaced while it was in use" || Hint(err) == "" {
		t.Errorf("a lost file: %v", err)
	}
	defer func() {
		if cause := recover(); cause != io.EOF {
			t.Errorf("another panic became %v", cause)
		}
	}()
	Mapped("a.bin", func() { panic(io.EOF) })
	t.Error("another panic was swallowed")
}
