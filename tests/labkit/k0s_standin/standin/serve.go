package standin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

func (c *Control) serve(w http.ResponseWriter, r *http.Request) {
	answer, err := c.answer(r)
	var said status
	switch {
	case errors.As(err, &said):
		http.Error(w, said.text, said.code)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		if text, ok := answer.(string); ok {
			_, _ = io.WriteString(w, text)
			return
		}
		_ = json.NewEncoder(w).Encode(answer)
	}
}

var unauthorized = status{http.StatusUnauthorized, "Unauthorized"}

func (c *Control) answer(r *http.Request) (any, error) {
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	state := c.snapshot()
	admin := bearer == state.Admin
	role := c.roleOf(state, bearer)
	switch r.Method + " " + r.URL.Path {
	case "GET /readyz":
		if Fault == "never-ready" || !c.quorum() {
			return nil, status{http.StatusInternalServerError, "[-]etcd failed: reason withheld\nreadyz check failed"}
		}
		if r.URL.RawQuery != "" {
			return "[+]ping ok\n[+]etcd ok\nreadyz check passed\n", nil
		}
		return "ok", nil
	case "GET /version":
		if !admin && role == "" && state.nodeOf(bearer) == "" {
			return nil, unauthorized
		}
		return map[string]string{"major": "1", "gitVersion": kubeVersion(), "platform": runtime.GOOS + "/" + runtime.GOARCH}, nil
	case "POST /v1beta1/etcd/members":
		return c.admit(r, role)
	case "POST /standin/node":
		return c.report(r, state, bearer, role, admin)
	}
	node := state.nodeOf(bearer)
	if !admin && node == "" {
		return nil, unauthorized
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /standin/ping":
		return "pong", nil
	case "GET /standin/state":
		return state, nil
	case "PUT /standin/state":
		return "", c.take(r)
	case "POST /standin/write", "POST /standin/change":
		var change Change
		if err := json.NewDecoder(r.Body).Decode(&change); err != nil {
			return nil, err
		}
		if !admin && (change.Name != node || (change.Op != "annotate" && change.Op != "cordon")) {
			return nil, status{http.StatusForbidden, "node \"" + node + "\" is not allowed to modify this"}
		}
		if r.URL.Path == "/standin/write" {
			return "", c.write(change)
		}
		return "", c.change(change)
	}
	return nil, status{http.StatusNotFound, "404 page not found"}
}

func (c *Control) roleOf(state *State, bearer string) string {
	id, rest, _ := strings.Cut(bearer, ".")
	token, ok := state.Tokens[id]
	if !ok || token.Secret != rest || (!token.Expires.IsZero() && time.Now().After(token.Expires)) {
		return ""
	}
	return token.Role
}

// nodeOf is the node whose kubelet has this token: it may read, and change itself.
func (s *State) nodeOf(bearer string) string {
	for name, node := range s.Nodes {
		if node.Key != "" && node.Key == bearer {
			return name
		}
	}
	return ""
}

// take accepts the state of the member that leads.
func (c *Control) take(r *http.Request) error {
	next := newState()
	if err := json.NewDecoder(r.Body).Decode(next); err != nil {
		return err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if next.Rev <= c.state.Rev {
		return nil
	}
	c.state = next
	return saveJSON(c.path(), next)
}

// admit lets a controller join: one at a time, and no name twice.
func (c *Control) admit(r *http.Request, role string) (any, error) {
	if role != "controller" {
		return nil, unauthorized
	}
	var who Change
	if err := json.NewDecoder(r.Body).Decode(&who); err != nil {
		return nil, err
	}
	state := c.snapshot()
	switch {
	case state.Learner != "" && state.Learner != who.Name:
		return nil, status{http.StatusServiceUnavailable, "etcdserver: too many learner members in cluster"}
	case state.Members[who.Name] != "" && state.Learner != who.Name:
		return nil, status{http.StatusConflict, "etcdserver: member " + who.Name + " exists already"}
	case c.single:
		return nil, status{http.StatusForbidden, "a single node cluster admits nobody"}
	}
	// The learner's vote does not count before it runs, so it joins without a question about quorum.
	if err := c.change(Change{Op: "learner", Name: who.Name, IP: who.IP}); err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(c.data, "pki/ca.crt"))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(c.data, "pki/ca.key"))
	return Joined{c.snapshot(), ca, key}, err
}

// report takes what a kubelet says of its node, and tells it what is wanted there.
func (c *Control) report(r *http.Request, state *State, bearer, role string, admin bool) (any, error) {
	var node Node
	if err := json.NewDecoder(r.Body).Decode(&node); err != nil {
		return nil, err
	}
	known := state.Nodes[node.Name]
	mine := known != nil && known.Key != "" && known.Key == bearer
	if !mine && !admin && role != "worker" {
		return nil, unauthorized
	}
	if known != nil && !mine && !admin && known.Key != node.Key {
		return nil, status{http.StatusForbidden, "a node called " + node.Name + " is there already"}
	}
	if Fault == "never-ready" {
		return nil, status{http.StatusServiceUnavailable, "the server is currently unable to handle the request"}
	}
	if known != nil {
		node.Unschedulable, node.Annotations = known.Unschedulable, known.Annotations
	}
	if known == nil || fmt.Sprint(*known) != fmt.Sprint(node) {
		if err := c.change(Change{Op: "node", Node: &node}); err != nil {
			return nil, err
		}
	}
	return state.Desired, nil
}
