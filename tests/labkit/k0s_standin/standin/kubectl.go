package standin

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

func sortedKeys[V any](values map[string]V) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// kubectl knows the little that managing k0s takes; data-dir chooses the cluster, as in `k0s kubectl`.
func kubectl(args []string) error {
	flags, err := parse(args, "data-dir kubeconfig raw output namespace type patch patch-file field-selector request-timeout"+
		" force! grace-period timeout delete-emptydir-data! ignore-daemonsets! pod-selector skip-wait-for-delete-timeout"+
		" ignore-not-found! wait! no-headers! selector dry-run overwrite!",
		map[string]string{"o": "output", "n": "namespace", "p": "patch", "l": "selector"})
	if err != nil {
		return err
	}
	path := flags.get("kubeconfig")
	if path == "" {
		path = os.Getenv("KUBECONFIG")
	}
	if path == "" {
		path = filepath.Join(flags.data(), "pki/admin.conf")
	}
	config, err := readKubeconfig(path)
	if err != nil {
		return err
	}
	if flags.has("raw") && len(flags.words) == 1 && flags.words[0] == "get" {
		var text string
		err := config.call("GET", flags.get("raw"), nil, &text)
		fmt.Print(text)
		return err
	}
	var state State
	if err := config.call("GET", "/standin/state", nil, &state); err != nil {
		return fmt.Errorf("the connection to the server was refused: %w", err)
	}
	return kubectlVerb(flags, config, &state)
}

func kubectlVerb(flags Flags, config Kubeconfig, state *State) error {
	if len(flags.words) == 0 {
		return errors.New("kubectl: a command is needed")
	}
	verb, words := flags.words[0], flags.words[1:]
	change := func(change Change) error { return config.call("POST", "/standin/change", change, nil) }
	switch kind := strings.Join(append([]string{verb}, words[:min(1, len(words))]...), " "); {
	case verb == "cordon" || verb == "uncordon":
		return forNodes(words, func(name string) error {
			err := change(Change{Op: "cordon", Name: name, On: verb == "cordon"})
			if err == nil {
				fmt.Printf("node/%s %sed\n", name, verb)
			}
			return err
		})
	case kind == "annotate node" || kind == "annotate nodes":
		return annotate(flags, state, words[1:], change)
	case verb == "drain":
		return forNodes(words, func(name string) error {
			if err := change(Change{Op: "cordon", Name: name, On: true}); err != nil {
				return err
			}
			return drained(name)
		})
	case kind == "delete node" || kind == "delete nodes":
		return forNodes(words[1:], func(name string) error {
			if state.Nodes[name] == nil && flags.on("ignore-not-found") {
				return nil
			}
			return change(Change{Op: "delete", Name: name})
		})
	case kind == "get node" || kind == "get nodes" || kind == "get no":
		return getNodes(flags, state, words[1:])
	case kind == "get clusterconfig" || kind == "get clusterconfigs.k0s.k0sproject.io" || kind == "get clusterconfigs":
		return getConfig(flags, state)
	case kind == "patch clusterconfig" || kind == "patch clusterconfigs.k0s.k0sproject.io" || kind == "patch clusterconfigs":
		return patchConfig(flags, state, change)
	case kind == "get event" || kind == "get events":
		return getEvents(flags, state)
	}
	return fmt.Errorf("kubectl: unknown command %q", strings.Join(flags.words, " "))
}

func forNodes(names []string, do func(string) error) error {
	if len(names) == 0 {
		return errors.New("error: USAGE: a node is needed")
	}
	for _, name := range names {
		if err := do(strings.TrimPrefix(name, "node/")); err != nil {
			return err
		}
	}
	return nil
}

func annotate(flags Flags, state *State, words []string, change func(Change) error) error {
	if len(words) < 2 || state.Nodes[words[0]] == nil {
		return notFound(strings.Join(words, " "))
	}
	notes := map[string]string{}
	for _, word := range words[1:] {
		key, value, ok := strings.Cut(word, "=")
		if _, there := state.Nodes[words[0]].Annotations[key]; !ok || (there && !flags.on("overwrite")) {
			return fmt.Errorf("annotation %q: no value, or there already and --overwrite is false", key)
		}
		notes[key] = value
	}
	err := change(Change{Op: "annotate", Name: words[0], Notes: notes})
	if err == nil {
		fmt.Printf("node/%s annotated\n", words[0])
	}
	return err
}

// drained evicts what runs on a node, unless the test wants it to stay.
func drained(name string) error {
	raw, _ := os.ReadFile(filepath.Join(switches, "drain-fails"))
	for _, listed := range strings.Fields(string(raw)) {
		if listed == name {
			fmt.Fprintln(os.Stderr, "error when evicting pods/\"app-0\" -n \"default\": Cannot evict pod as it would violate the pod's disruption budget.")
			return fmt.Errorf("unable to drain node %q due to error: error when evicting pods/\"app-0\" -n \"default\": global timeout reached", name)
		}
	}
	fmt.Printf("node/%s drained\n", name)
	return nil
}

func object(node *Node) map[string]any {
	ready, reason := "False", "KubeletNotReady"
	if node.Ready {
		ready, reason = "True", "KubeletReady"
	}
	spec := map[string]any{}
	if node.Unschedulable {
		spec["unschedulable"] = true
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Node",
		"metadata": map[string]any{"name": node.Name, "labels": node.Labels, "annotations": node.Annotations},
		"spec":     spec,
		"status": map[string]any{
			"addresses": []any{map[string]any{"type": "InternalIP", "address": node.IP}},
			"conditions": []any{map[string]any{"type": "Ready", "status": ready, "reason": reason, "message": strings.Join(node.Missing, " "),
				"lastHeartbeatTime": node.Beat.Format(time.RFC3339)}},
			"nodeInfo": map[string]any{"architecture": node.Arch, "kubeletVersion": node.Version, "operatingSystem": "linux"},
		},
	}
}

func getNodes(flags Flags, state *State, names []string) error {
	one := len(names) == 1
	if len(names) == 0 {
		names = sortedKeys(state.Nodes)
	}
	var items []any
	for _, name := range names {
		node := state.Nodes[strings.TrimPrefix(name, "node/")]
		if node == nil {
			if flags.on("ignore-not-found") {
				continue
			}
			return notFound(name)
		}
		items = append(items, object(node))
		if flags.get("output") == "" {
			mark := map[bool]string{true: "Ready", false: "NotReady"}[node.Ready]
			if node.Unschedulable {
				mark += ",SchedulingDisabled"
			}
			fmt.Println(node.Name, mark, node.Arch, node.Version, node.IP)
		}
		if flags.get("output") == "name" {
			fmt.Println("node/" + node.Name)
		}
	}
	switch {
	case flags.get("output") == "" || flags.get("output") == "name":
		return nil
	case one && len(items) == 0:
		return nil
	case one:
		return printed(flags, items[0])
	}
	return printed(flags, map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
}

func getConfig(flags Flags, state *State) error {
	if flags.get("namespace") != "kube-system" || state.Config == nil {
		if flags.on("ignore-not-found") {
			return nil
		}
		return errors.New("from server (NotFound): clusterconfigs.k0s.k0sproject.io \"k0s\" not found")
	}
	return printed(flags, map[string]any(state.Config))
}

// patchConfig knows merge patches and JSON patches (RFC 7386, RFC 6902: add, remove, replace, test).
func patchConfig(flags Flags, state *State, change func(Change) error) error {
	if flags.get("namespace") != "kube-system" || state.Config == nil {
		return errors.New("from server (NotFound): clusterconfigs.k0s.k0sproject.io \"k0s\" not found")
	}
	text := flags.get("patch")
	if path := flags.get("patch-file"); path != "" {
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text = string(raw)
	}
	next := cloned(state.Config)
	switch flags.get("type") {
	case "merge":
		var patch map[string]any
		if err := json.Unmarshal([]byte(text), &patch); err != nil {
			return err
		}
		merge(next, patch)
	case "json":
		var steps []patchStep
		if err := json.Unmarshal([]byte(text), &steps); err != nil {
			return err
		}
		for _, step := range steps {
			if err := step.apply(next); err != nil {
				return fmt.Errorf("The request is invalid: the server rejected our request due to an error in our request: %w", err)
			}
		}
	default:
		return errors.New("application/strategic-merge-patch+json is not supported by k0s.k0sproject.io/v1beta1, Kind=ClusterConfig")
	}
	if err := next.validate(); err != nil {
		return err
	}
	if sameJSON(next, state.Config) {
		fmt.Println("clusterconfig.k0s.k0sproject.io/k0s patched (no change)")
		return nil
	}
	if flags.has("dry-run") {
		return nil
	}
	if err := change(Change{Op: "config", Config: next}); err != nil {
		return err
	}
	fmt.Println("clusterconfig.k0s.k0sproject.io/k0s patched")
	return nil
}

func sameJSON(one, other any) bool {
	left, _ := json.Marshal(one)
	right, _ := json.Marshal(other)
	return string(left) == string(right)
}

func merge(target, patch map[string]any) {
	for name, value := range patch {
		inner, isMap := value.(map[string]any)
		switch old, wasMap := target[name].(map[string]any); {
		case value == nil:
			delete(target, name)
		case isMap && wasMap:
			merge(old, inner)
		case isMap:
			fresh := map[string]any{}
			merge(fresh, inner)
			target[name] = fresh
		default:
			target[name] = value
		}
	}
}

type patchStep struct {
	Op    string
	Path  string
	Value any
}

func (p patchStep) apply(target map[string]any) error {
	names := strings.Split(strings.TrimPrefix(p.Path, "/"), "/")
	for _, name := range names[:len(names)-1] {
		inner, ok := target[name].(map[string]any)
		if !ok {
			return fmt.Errorf("%s: no such path", p.Path)
		}
		target = inner
	}
	name := names[len(names)-1]
	old, there := target[name]
	switch {
	case p.Op == "add":
		target[name] = p.Value
	case !there:
		return fmt.Errorf("%s: no such path", p.Path)
	case p.Op == "remove":
		delete(target, name)
	case p.Op == "replace":
		target[name] = p.Value
	case p.Op == "test" && sameJSON(old, p.Value):
	default:
		return fmt.Errorf("testing %s failed", p.Path)
	}
	return nil
}

// getEvents tells that the leading controller has taken the configuration in, once it has.
func getEvents(flags Flags, state *State) error {
	items := []any{}
	if state.Config != nil && sameJSON(state.Desired.Spec, state.Config.spec()) {
		items = append(items, map[string]any{"reason": "SuccessfulReconcile", "involvedObject": map[string]any{"name": "k0s", "kind": "ClusterConfig"}})
	}
	return printed(flags, map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
}
