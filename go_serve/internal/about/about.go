// Package about says what model a program holds and what would compute it here: what `info --json` prints, the chat page shows
// and one HTML file carries. It knows nothing of answers.
package about

import (
	"runtime"

	"minitron/internal/bundle"
	"minitron/internal/kernel"
	"minitron/internal/weights"
)

// Model describes one.
type Model struct {
	Name      string          `json:"name"`
	Template  bundle.Template `json:"template"`
	About     bundle.About    `json:"about"`
	Greeting  string          `json:"greeting"`
	System    string          `json:"system"`
	Questions []string        `json:"questions"`
	Sampling  bundle.Sampling `json:"sampling"`
	Shape     weights.Shape   `json:"model"`
	DType     string          `json:"dtype"`
	Params    int64           `json:"params"`
	Weights   bundle.Payload  `json:"weights"`
	Vocab     bundle.Payload  `json:"vocab"`
	Verified  bool            `json:"verified"` // both digests were computed again and agree
	Kernel    string          `json:"kernel"`   // what would compute here
	Format    int             `json:"format_version"`
	Program   string          `json:"program_version"`
	Go        string          `json:"go"`
	Platform  string          `json:"platform"`
	Made      bundle.Made     `json:"made"`
	Seed      *uint64         `json:"seed,omitempty"` // of every answer of this program; nil: each has its own
}

// Describe says what is in a bundle; program is the version of the program.
func Describe(c *bundle.Config, program string) Model {
	return Model{
		Name: c.Name, Template: c.Template, About: c.About, Greeting: c.Greeting, System: c.System, Questions: c.Questions, Sampling: c.Sampling,
		Shape: c.Model, DType: c.DType, Params: c.Params, Weights: c.Weights, Vocab: c.Vocab,
		Kernel: kernel.Name(), Format: bundle.Version, Program: program,
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Made: c.Made,
	}
}
