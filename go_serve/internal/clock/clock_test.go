package clock

import (
	"testing"
	"time"
)

// TestSince holds that short times are told apart, and that long ones are as long as the system says.
func TestSince(t *testing.T) {
	began, system := Now(), time.Now()
	for Since(began) == 0 {
	}
	if took := time.Since(system); took > time.Millisecond {
		t.Errorf("a step of the clock takes %v", took)
	}
	time.Sleep(50 * time.Millisecond)
	if here, there := Since(began), time.Since(system); here < 40*time.Millisecond || here > there+20*time.Millisecond {
		t.Errorf("%v, by the system's clock %v", here, there)
	}
}
