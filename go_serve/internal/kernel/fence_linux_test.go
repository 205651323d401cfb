package kernel

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"syscall"
	"testing"
	"unsafe"

	"minitron/internal/fault"
)

// fence gives memory that lies between two pages which nobody may touch. It begins right behind the first or, with atEnd,
// ends right before the second; what is left of the last page on the other side is in reach.
type fence struct {
	t     *testing.T
	atEnd bool
}

func (f fence) bytes(n int) []byte {
	page := os.Getpagesize()
	inner := roundUp(n, page)
	memory, err := syscall.Mmap(-1, 0, inner+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { syscall.Munmap(memory) })
	for _, outside := range [][]byte{memory[:page], memory[page+inner:]} {
		if err := syscall.Mprotect(outside, syscall.PROT_NONE); err != nil {
			f.t.Fatal(err)
		}
	}
	if f.atEnd {
		return memory[page+inner-n:][:n:n]
	}
	return memory[page:][:n:n]
}

func (f fence) floats(n int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(f.bytes(4*n)))), n)
}

// trespass runs something and returns an error if it touched a page that nobody may touch.
func trespass(do func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case fault.Lost:
			err = fmt.Errorf("the address %#x is out of bounds", cause.Addr())
		default:
			panic(cause)
		}
	}()
	do()
	return nil
}

// TestFences calls every function of every tier with slices that are as long as tier says and not a byte longer.
func TestFences(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(27, 28))
		for n := range 24 {
			f := fence{t: t, atEnd: n%2 == 0}
			panels, groups, cols := 1+random.IntN(5), 1+random.IntN(4), 1+random.IntN(70)
			gap := 8 * random.IntN(3)                         // between rows
			stride, step := 2*lanes*cols+2*lanes*gap, 2*lanes // panels behind each other, as keys
			if random.IntN(2) == 0 {
				stride, step = 2*lanes, 2*lanes*(panels+gap) // side by side, as values
			}
			x, rows := f.bytes(groups*groupBytesX), active.block-1
			blockOut := func(width int) []float32 { return f.floats(rows*(width+gap) + width) }
			for _, call := range []struct {
				name string
				run  func()
			}{
				{"q8", func() { active.q8(f.floats(lanes*panels), x, f.bytes(panels*groups*q8GroupBytes)) }},
				{"q4", func() { active.q4(f.floats(lanes*panels), x, f.bytes(panels*groups*q4GroupBytes)) }},
				{"f16", func() {
					active.f16(f.floats(lanes*panels), f.floats(cols), f.bytes((panels-1)*stride+(cols-1)*step+2*lanes), stride, step)
				}},
				{"unfused", func() {
					active.unfused(f.floats(lanes*panels), f.floats(cols), f.bytes((panels-1)*stride+(cols-1)*step+2*lanes), stride, step)
				}},
				{"q8Block", func() {
					active.q8Block(blockOut(lanes), lanes+gap, f.bytes(rows*(len(x)+gap)+len(x)), len(x)+gap, f.bytes(groups*q8GroupBytes))
				}},
				{"q4Block", func() {
					active.q4Block(blockOut(lanes), lanes+gap, f.bytes(rows*(len(x)+gap)+len(x)), len(x)+gap, f.bytes(groups*q4GroupBytes))
				}},
				{"f16Block", func() {
					active.f16Block(blockOut(lanes), lanes+gap, f.floats(rows*(cols+gap)+cols), cols+gap, f.bytes((cols-1)*step+2*lanes), step)
				}},
				{"unfusedBlock", func() {
					active.unfusedBlock(blockOut(lanes), lanes+gap, f.floats(rows*(cols+gap)+cols), cols+gap, f.bytes((cols-1)*step+2*lanes), step)
				}},
				{"f16Pair", func() {
					if active.f16Pair != nil {
						active.f16Pair(blockOut(2*lanes), 2*lanes+gap, f.floats(rows*(cols+gap)+cols), cols+gap, f.bytes(2*2*lanes*cols))
					}
				}},
				{"quantize", func() { active.quantize(x, f.floats(groups*groupSize)) }},
				{"softmax", func() { active.softmax(f.floats(lanes * panels)) }},
				{"swiglu", func() { active.swiglu(f.floats(lanes*panels), f.floats(lanes*panels)) }},
				{"gelu", func() { active.gelu(f.floats(lanes * panels)) }},
				{"halves", func() { active.halves(f.bytes(2*lanes*panels), f.floats(lanes*panels)) }},
				{"readAll", func() { readAll(f.bytes(256 * panels)) }},
			} {
				if err := trespass(call.run); err != nil {
					t.Errorf("%s, %d panels, %d groups or %d columns, panels %d and columns %d bytes apart, at the end %v: %v",
						call.name, panels, groups, cols, stride, step, f.atEnd, err)
				}
			}
		}
	})
}

// TestFencesHold shows that the fences would notice: every function that is given one element more than there is fails.
func TestFencesHold(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		f := fence{t: t, atEnd: true}
		longer := func(x []float32) []float32 { return unsafe.Slice(unsafe.SliceData(x), len(x)+lanes) }
		for name, run := range map[string]func(){
			"softmax": func() { active.softmax(longer(f.floats(32))) },
			"gelu":    func() { active.gelu(longer(f.floats(32))) },
			"q8":      func() { active.q8(longer(f.floats(32)), f.bytes(groupBytesX), f.bytes(3*q8GroupBytes)) },
			"readAll": func() { readAll(unsafe.Slice(unsafe.SliceData(f.bytes(256)), 512)) },
		} {
			if trespass(run) == nil {
				t.Errorf("%s went over a fence without a sound", name)
			}
		}
	})
}
