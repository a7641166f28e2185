package standin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ClusterConfig is the document, as maps: a stand-in has no use for most of it.
type ClusterConfig map[string]any

func (c ClusterConfig) spec() map[string]any {
	spec, _ := c["spec"].(map[string]any)
	return spec
}

// lookup follows a dotted path through maps; nil where it ends early.
func lookup(tree map[string]any, path string) any {
	var value any = tree
	for _, name := range strings.Split(path, ".") {
		inner, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = inner[name]
	}
	return value
}

func assign(tree map[string]any, path string, value any) {
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		inner, ok := tree[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			tree[name] = inner
		}
		tree = inner
	}
	tree[names[len(names)-1]] = value
}

func cloned[T any](value T) T {
	var copied T
	raw, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(raw, &copied)
	}
	if err != nil {
		panic(err)
	}
	return copied
}

func emptyConfig() ClusterConfig {
	return ClusterConfig{"apiVersion": "k0s.k0sproject.io/v1beta1", "kind": "ClusterConfig",
		"metadata": map[string]any{"name": "k0s"}, "spec": map[string]any{}}
}

// readConfig reads and judges a configuration; without a path the usual one, and nothing is also one.
func readConfig(path string) (ClusterConfig, error) {
	var raw []byte
	var err error
	switch path {
	case "-":
		raw, err = io.ReadAll(os.Stdin)
	case "":
		raw, err = os.ReadFile(configPath)
		if errors.Is(err, os.ErrNotExist) {
			return emptyConfig(), nil
		}
	default:
		raw, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to load config: %w", err)
	}
	value, err := parseYAML(string(raw))
	if err != nil {
		return nil, fmt.Errorf("failed to parse config: yaml: %w", err)
	}
	document, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("failed to parse config: not a document")
	}
	config := ClusterConfig(document)
	return config, config.validate()
}

// kine tells whether SQLite holds the cluster: by default for a single node alone, and a storage block means etcd.
func (c ClusterConfig) kine(single bool) bool {
	storage, written := c.spec()["storage"].(map[string]any)
	if !written {
		return single
	}
	return storage["type"] == "kine"
}

var specFields = strings.Fields("api controllerManager scheduler storage network workerProfiles featureGates images" +
	" extensions telemetry installConfig konnectivity controllerManager")

func (c ClusterConfig) validate() error {
	if c["kind"] != "ClusterConfig" {
		return fmt.Errorf("spec: unknown kind %v", c["kind"])
	}
	if api, ok := c["apiVersion"].(string); ok && api != "k0s.k0sproject.io/v1beta1" {
		return fmt.Errorf("unknown apiVersion %q", api)
	}
	for name := range c.spec() {
		if !strings.Contains(" "+strings.Join(specFields, " ")+" ", " "+name+" ") {
			return fmt.Errorf("error unmarshaling JSON: while decoding JSON: json: unknown field %q", name)
		}
	}
	if _, err := profiles(c.spec()); err != nil {
		return err
	}
	policy, set := lookup(c.spec(), "images.default_pull_policy").(string)
	if set && policy != "Always" && policy != "IfNotPresent" && policy != "Never" {
		return fmt.Errorf("spec: images: default_pull_policy: Unsupported value: %q: supported values: \"Always\", \"IfNotPresent\", \"Never\"", policy)
	}
	balancer, set := lookup(c.spec(), "network.nodeLocalLoadBalancing.type").(string)
	if set && balancer != "EnvoyProxy" && (balancer != "Traefik" || !atLeast(1, 36, 1)) {
		return fmt.Errorf("spec: network: nodeLocalLoadBalancing.type: Unsupported value: %q", balancer)
	}
	return nil
}

// live is the object that a controller of this release makes of a configuration file.
//
// Releases before 1.32.1 compare whole blocks with their defaults: one setting
// that differs takes every image of its block into the object (issue 5258).
func (c ClusterConfig) live() ClusterConfig {
	object := cloned(c)
	spec, _ := object["spec"].(map[string]any)
	if spec == nil {
		spec = map[string]any{}
		object["spec"] = spec
	}
	delete(spec, "api")
	delete(spec, "storage")
	object["metadata"] = map[string]any{"name": "k0s", "namespace": "kube-system"}
	if atLeast(1, 32, 1) {
		return object
	}
	_, images := spec["images"]
	enabled, _ := lookup(spec, "network.nodeLocalLoadBalancing.enabled").(bool)
	for _, one := range defaultImages() {
		if (strings.HasPrefix(one.path, "images.") && images) || (strings.HasPrefix(one.path, "network.") && enabled) {
			name, tag, _ := cutImage(effective(c.spec(), one))
			assign(spec, one.path, map[string]any{"image": name, "version": tag})
		}
	}
	return object
}

func createConfig(flags Flags) error {
	text := "apiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\nmetadata:\n  name: k0s\nspec:\n" +
		"  network:\n    provider: kuberouter\n"
	if flags.on("include-images") {
		config := emptyConfig()
		for _, one := range defaultImages() {
			if strings.HasPrefix(one.path, "images.") {
				name, tag, _ := cutImage(one.image)
				assign(config.spec(), one.path, map[string]any{"image": name, "version": tag})
			}
		}
		return printJSON(config)
	}
	fmt.Print(text)
	return nil
}

func validateConfig(flags Flags) error {
	if flags.get("config") == "" {
		return errors.New("config file is required")
	}
	_, err := readConfig(flags.get("config"))
	return err
}
