package server

import (
	"fmt"
	"net/http"
	"strings"

	"minitron/internal/api"
)

// isOllama reports whether a request is for ollama's API.
func isOllama(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }

// ollama answers the requests below /api/, all of them about the one model that is there.
func (a *API) ollama(w http.ResponseWriter, r *http.Request, path string) {
	tell := func(value any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, value) }
	}
	switch path {
	case "/api/chat":
		only(w, r, answering(a.Server.OllamaChat), "POST")
	case "/api/generate":
		only(w, r, answering(a.Server.OllamaGenerate), "POST")
	case "/api/show":
		only(w, r, a.show, "POST")
	case "/api/tags", "/api/ps":
		only(w, r, tell(map[string]any{"models": []listed{a.listed(path == "/api/ps")}}), "GET", "HEAD")
	case "/api/version":
		only(w, r, tell(map[string]string{"version": a.About.Program}), "GET", "HEAD")
	case "/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/embed", "/api/embeddings":
		refuse(w, r, api.Refuse(501, "unsupported", "", "This server has one model, which chats: it can neither be changed nor embed."))
	default:
		refuse(w, r, notFound(r))
	}
}

// listed is a model as /api/tags and /api/ps list it.
type listed struct {
	Name     string  `json:"name"`
	Model    string  `json:"model"`
	Modified string  `json:"modified_at,omitempty"`
	Size     int64   `json:"size"`
	Digest   string  `json:"digest"`
	Details  details `json:"details"`

	Expires string `json:"expires_at,omitempty"` // from here on only for a model that is loaded
	VRAM    *int64 `json:"size_vram,omitempty"`
	Context int    `json:"context_length,omitempty"`
}

type details struct {
	Parent       string   `json:"parent_model"`
	Format       string   `json:"format"`
	Family       string   `json:"family"`
	Families     []string `json:"families"`
	Parameters   string   `json:"parameter_size"`
	Quantization string   `json:"quantization_level"`
}

func (a *API) details() details {
	m := a.About
	quantization := map[string]string{"f16": "F16", "q8": "Q8_0", "q4": "Q4_0"}[m.DType] // the nearest of ollama's names
	return details{"", "minitron", m.Shape.Arch, []string{m.Shape.Arch}, short(m.Params), quantization}
}

// short writes a number of parameters as in 4.2M.
func short(params int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1e9, "B"}, {1e6, "M"}, {1e3, "K"}} {
		if params >= unit.size {
			return fmt.Sprintf("%.1f%s", float64(params)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprint(params)
}

func (a *API) listed(loaded bool) listed {
	m, name := a.About, a.Server.Name()+api.Latest
	l := listed{Name: name, Model: name, Modified: m.Made.Date, Size: m.Weights.Bytes, Digest: m.Weights.SHA256, Details: a.details()}
	if loaded {
		l.Modified, l.Expires, l.VRAM, l.Context = "", "9999-12-31T23:59:59Z", new(int64), m.Shape.Longest()
	}
	return l
}

// show answers /api/show: what clients ask about a model before they chat.
func (a *API) show(w http.ResponseWriter, r *http.Request) {
	answering(func(body []byte) (api.Work, error) {
		if err := a.Server.CheckShown(body); err != nil {
			return nil, err
		}
		return api.Telling(a.shown()), nil
	})(w, r)
}

func (a *API) shown() any {
	m := a.About
	family := m.Shape.Arch
	s := m.Sampling
	parameters := []string{
		fmt.Sprintf("num_ctx %d", m.Shape.Longest()), fmt.Sprintf("num_predict %d", s.MaxTokens), fmt.Sprintf("temperature %v", s.Temperature),
		fmt.Sprintf("top_k %d", s.TopK), fmt.Sprintf("top_p %v", s.TopP), fmt.Sprintf("min_p %v", s.MinP), fmt.Sprintf("repeat_penalty %v", s.RepeatPenalty),
	}
	return map[string]any{
		"license": m.About.Licence, "modelfile": "", "parameters": strings.Join(parameters, "\n"), "system": m.System,
		"details": a.details(), "capabilities": []string{"completion"}, "modified_at": m.Made.Date,
		"model_info": map[string]any{
			"general.architecture": family, "general.basename": m.Name, "general.parameter_count": m.Params,
			family + ".context_length": m.Shape.Longest(), family + ".embedding_length": m.Shape.Dim, family + ".block_count": m.Shape.Layers,
			family + ".attention.head_count": m.Shape.Heads, family + ".vocab_size": m.Shape.VocabSize,
		},
	}
}
