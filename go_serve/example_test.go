package minitron_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"slices"

	"minitron"
)

// A model of 15,000 weights that nobody has trained: what it says is noise.
const tiny = "internal/model/testdata/llama-qknorm"

func Example() {
	m, err := minitron.Open(os.DirFS(tiny))
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	c := m.NewChat(minitron.WithSystem(""), minitron.WithSampling(minitron.Sampling{MaxTokens: 6}))
	for text, err := range c.Say(context.Background(), "tea") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(text) // as it grows
	}
	fmt.Println()
	fmt.Println(len(c.Answer().IDs), "tokens, stopped:", c.Answer().Stopped)
	// Output:
	// ^^^^^^
	// 6 tokens, stopped: max_tokens
}

func ExampleOpen() {
	m, err := minitron.Open(os.DirFS(tiny), minitron.WithThreads(1))
	if err != nil {
		fmt.Println(err) // one sentence
		return
	}
	defer m.Close()
	info := m.Info()
	fmt.Printf("%s: %d weights as %s, a context of %d tokens\n", info.Name, info.Params, info.DType, info.Context)

	_, err = minitron.Open(os.DirFS("internal"))
	fmt.Println(err)
	// Output:
	// llama-qknorm: 15312 weights as f16, a context of 64 tokens
	// there is no config.json in the bundle
}

func ExampleModel_Logits() {
	m, err := minitron.Open(os.DirFS(tiny))
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	ids := m.Encode("hi")
	logits, err := m.Logits(context.Background(), ids)
	if err != nil {
		log.Fatal(err)
	}
	likeliest := slices.Index(logits, slices.Max(logits))
	fmt.Println(ids, len(logits), likeliest)
	// Output: [109 110] 272 110
}
