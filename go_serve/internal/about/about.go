// Package about describes the model that a program holds and what would compute it on this machine. `info --json` prints the
// description, the chat page shows it and the one HTML file carries it. It knows nothing of answers.
package about

import (
	"runtime"

	"minitron/internal/bundle"
	"minitron/internal/kernel"
	"minitron/internal/weights"
)

// Model describes a model and the program that runs it.
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
	Kernel    string          `json:"kernel"`   // which kernel would compute on this machine
	Format    int             `json:"format_version"`
	Program   string          `json:"program_version"`
	Go        string          `json:"go"`
	Platform  string          `json:"platform"`
	Made      bundle.Made     `json:"made"`
	Seed      *uint64         `json:"seed,omitempty"` // the seed of every answer of this program; nil: each has its own
}

// Describe describes the model of a bundle; program is the version of the program.
func Describe(c *bundle.Config, program string) Model {
	return Model{
		Name: c.Name, Template: c.Template, About: c.About, Greeting: c.Greeting, System: c.System, Questions: c.Questions, Sampling: c.Sampling,
		Shape: c.Model, DType: c.DType, Params: c.Params, Weights: c.Weights, Vocab: c.Vocab,
		Kernel: kernel.Name(), Format: bundle.Version, Program: program,
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Made: c.Made,
	}
}
