package standin

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"sort"
	"time"
)

// State is what etcd would hold: the whole cluster as one document, on every controller.
type State struct {
	Rev     int
	Members map[string]string // by name: the address
	Learner string            // the member that is joining: etcd admits one at a time
	Nodes   map[string]*Node
	Tokens  map[string]Token // by id
	Config  ClusterConfig    // the live object; nil without dynamic configuration
	Desired Desired
	Admin   string // the administrator's bearer token
}

// Node is what a kubelet reports, and what was done to it.
type Node struct {
	Name          string
	IP            string
	Arch          string
	Version       string
	Ready         bool
	Unschedulable bool
	Missing       []string
	Labels        map[string]string
	Annotations   map[string]string
	Beat          time.Time // when its kubelet last said so
	Key           string    // its bearer token
}

// Token lets nodes join.
type Token struct {
	Role    string
	Secret  string
	Expires time.Time // zero: never
}

// Desired is what the leading controller wants to run: its own release's images under the configuration.
type Desired struct {
	Release string
	Spec    map[string]any
	Images  map[string][]string // by architecture
}

func newState() *State {
	return &State{Members: map[string]string{}, Nodes: map[string]*Node{}, Tokens: map[string]Token{}}
}

// order lists the voters: the first that answers leads.
func (s *State) order() []string {
	names := make([]string, 0, len(s.Members))
	for name := range s.Members {
		if name != s.Learner {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func secret(bytes int) string {
	raw := make([]byte, bytes)
	if _, err := rand.Read(raw); err != nil {
		panic(err)
	}
	return hex.EncodeToString(raw)
}

func loadJSON(path string, value any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, value)
}

func saveJSON(path string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return saveFile(path, raw, 0o600)
}

func saveFile(path string, raw []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", raw, mode); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
