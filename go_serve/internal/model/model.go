// Package model is the transformer: weights from a loader, and a forward pass that keeps what it has read. It knows ids and
// logits, but neither files nor text nor sampling.
//
// A model is a row of layers, each x += mixer(norm(x)); x += mlp(norm(x)). Where architectures differ, load.go chooses a norm,
// an activation and a mixer, once, as values. What a layer keeps of a sequence is its mixer's memory; a State is one memory per
// layer and the ids that they hold. The calls in order: Load → NewState → Extend, Extend, ...
package model

import (
	"minitron/internal/kernel"
	"minitron/internal/weights"
)

// Model holds the weights, which are read-only and stay where the loader found them.
type Model struct {
	shape     weights.Shape
	dtype     kernel.DType
	file      string        // the name of the weights' file, for error messages
	embedding kernel.Linear // [vocab][D]
	positions kernel.Matrix // [context][D] learned positions, which are added to the embedding; none in a llama
	layers    []layer
	finalNorm norm
	head      kernel.Linear // [vocab][D]; the same as embedding if the two are tied
}

// layer holds one layer's weights.
type layer struct {
	mixerNorm norm
	mixer     mixer
	mlpNorm   norm
	mlp       mlp
}

// mlp is down(activate(up(x))).
type mlp struct {
	up       kernel.Linear          // [F][D], for swiGLU two: gate and up
	activate func(hidden []float32) // of a row of up's output; the result is its first F values
	down     kernel.Linear          // [D][F]
}

// swiGLU is silu(gate) · up (arXiv 2002.05202).
func swiGLU(hidden []float32) {
	half := len(hidden) / 2
	kernel.SwiGLU(hidden[:half], hidden[half:])
}

// norm writes the normed x, [D], to out.
type norm interface{ apply(out, x []float32) }

type rmsNorm struct {
	weight []float32 // [D]
	eps    float64
}

func (n rmsNorm) apply(out, x []float32) { kernel.RMSNorm(out, x, n.weight, n.eps) }

type layerNorm struct {
	weight, bias []float32 // [D]; bias is nil where there is none
	eps          float64
}

func (n layerNorm) apply(out, x []float32) { kernel.LayerNorm(out, x, n.weight, n.bias, n.eps) }
