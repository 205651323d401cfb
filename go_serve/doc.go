// Package minitron runs small language models that `minitron export` wrote.
package minitron
