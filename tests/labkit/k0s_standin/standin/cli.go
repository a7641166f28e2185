// Package standin behaves as k0s is documented to: it keeps state, enforces order, and fails when called wrongly.
//
// Nodes share one cluster over HTTPS on the ports that k0s uses. What is a
// container in k0s is a name here: a node is Ready when it has every image that
// the cluster wants on it, or may pull them.
package standin

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Set by the linker. Fault is `never-ready` (starts and never becomes ready) or `crashes` (ends after its start).
var (
	Version = "v0.0.0+k0s.0"
	Fault   = ""
)

const (
	binaryRoot   = "/usr/local/bin"
	defaultData  = "/var/lib/k0s"
	configPath   = "/etc/k0s/k0s.yaml"
	runDirectory = "/run/k0s"
	statusSocket = runDirectory + "/status.sock"
	// Where tests say what is to go wrong: `drain-fails` lists nodes whose drain does not end, `cgroup-v1` makes the
	// host one of the first version.
	switches = "/etc/k0s-standin"
)

// atLeast tells whether this release is not older than major.minor.patch.
func atLeast(wanted ...int) bool {
	numbers := versionNumbers(Version)
	for i, number := range wanted {
		if numbers[i] != number {
			return numbers[i] > number
		}
	}
	return true
}

func versionNumbers(version string) [3]int {
	var numbers [3]int
	core, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), "+")
	core, _, _ = strings.Cut(core, "-")
	for i, part := range strings.SplitN(core, ".", 3) {
		numbers[i], _ = strconv.Atoi(part)
	}
	return numbers
}

// kubeVersion is what nodes and the API server report: k0s builds Kubernetes with its own name, without its build.
func kubeVersion() string {
	core, _, _ := strings.Cut(Version, "+")
	return core + "+k0s"
}

// Flags are what stands behind a command: `--name=value`, `--name value`, switches, and words.
type Flags struct {
	values map[string]string
	words  []string
}

func (f Flags) on(name string) bool    { return f.values[name] == "true" }
func (f Flags) get(name string) string { return f.values[name] }
func (f Flags) has(name string) bool   { _, ok := f.values[name]; return ok }

func (f Flags) data() string {
	if dir := f.get("data-dir"); dir != "" {
		return dir
	}
	return defaultData
}

// parse knows flags by name: a trailing `!` marks a switch. `short` maps single letters to names.
func parse(args []string, known string, short map[string]string) (Flags, error) {
	flags := Flags{values: map[string]string{}}
	kinds := map[string]bool{}
	for _, name := range strings.Fields(known + " debug! verbose!") {
		kinds[strings.TrimSuffix(name, "!")] = strings.HasSuffix(name, "!")
	}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			flags.words = append(flags.words, arg)
			continue
		}
		name, value, given := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !strings.HasPrefix(arg, "--") {
			long, ok := short[name]
			if !ok {
				return flags, fmt.Errorf("unknown shorthand flag: %q in -%s", name, name)
			}
			name = long
		}
		isSwitch, ok := kinds[name]
		if !ok {
			return flags, fmt.Errorf("unknown flag: --%s", name)
		}
		switch {
		case given:
		case isSwitch:
			value = "true"
		case len(args) == 0:
			return flags, fmt.Errorf("flag needs an argument: --%s", name)
		default:
			value, args = args[0], args[1:]
		}
		if isSwitch && value != "true" && value != "false" {
			return flags, fmt.Errorf("invalid argument %q for %q flag", value, "--"+name)
		}
		flags.values[name] = value
	}
	return flags, nil
}

type command struct {
	flags string
	short map[string]string
	run   func(Flags) error
}

var (
	common     = " data-dir status-socket"
	nodeFlags  = common + " token-file labels taints profile kubelet-extra-args cri-socket iptables-mode kubelet-root-dir logging"
	controller = nodeFlags + " config enable-worker! single! no-taints! enable-dynamic-config! disable-components" +
		" enable-metrics-scraper! enable-k0s-cloud-provider! feature-gates"
	install  = " force! start! env"
	forShort = map[string]string{"c": "config", "o": "out", "e": "env", "d": "debug", "v": "verbose"}
)

func commands() map[string]command {
	nodeFlags, controller := nodeFlags, controller
	if atLeast(1, 36, 1) {
		nodeFlags, controller = nodeFlags+" ignore-pre-flight-checks!", controller+" ignore-pre-flight-checks!"
	}
	return map[string]command{
		"version":                 {"json! all!", map[string]string{"j": "json", "a": "all"}, showVersion},
		"status":                  {common + " out", forShort, showStatus},
		"install controller":      {controller + install, forShort, func(f Flags) error { return installUnit("controller", f) }},
		"install worker":          {nodeFlags + install, forShort, func(f Flags) error { return installUnit("worker", f) }},
		"controller":              {controller, forShort, runController},
		"worker":                  {nodeFlags, forShort, runWorker},
		"start":                   {"", nil, startService},
		"stop":                    {"", nil, stopService},
		"reset":                   {common + " kubelet-root-dir cri-socket config", forShort, reset},
		"token create":            {common + " role expiry wait!", nil, createToken},
		"token invalidate":        {common, nil, invalidateToken},
		"token list":              {common + " role", nil, listTokens},
		"config create":           {common + " include-images!", nil, createConfig},
		"config validate":         {common + " config feature-gates", forShort, validateConfig},
		"airgap list-images":      {common + " all! config platform", forShort, listImages},
		"airgap bundle-artifacts": {common + " output platform concurrency", map[string]string{"o": "output"}, bundleArtifacts},
		"etcd member-list":        {common, nil, listMembers},
		"etcd leave":              {common + " peer-address", nil, leaveEtcd},
		"backup":                  {common + " save-path", nil, backup},
		"restore":                 {common + " config-out", nil, restore},
		"kubeconfig admin":        {common, nil, showKubeconfig},
		"ctr images ls":           {"quiet!", map[string]string{"q": "quiet"}, listStored},
	}
}

// Main runs one command line and returns its exit code.
func Main(args []string) int {
	err := dispatch(args)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "Error:", err)
	return 1
}

func dispatch(args []string) error {
	if len(args) == 0 {
		return errors.New("a command is needed")
	}
	if args[0] == "kubectl" {
		return kubectl(args[1:])
	}
	if args[0] == "ctr" {
		if len(args) < 3 || (args[1] != "-n" && args[1] != "--namespace") || args[2] != "k8s.io" {
			return errors.New("ctr: only the namespace k8s.io is known")
		}
		args = append([]string{"ctr"}, args[3:]...)
	}
	known := commands()
	for words := min(3, len(args)); words > 0; words-- {
		name := strings.Join(args[:words], " ")
		if found, ok := known[name]; ok {
			flags, err := parse(args[words:], found.flags, found.short)
			if err != nil {
				return err
			}
			return found.run(flags)
		}
	}
	return fmt.Errorf("unknown command %q for \"k0s\"", strings.Join(args, " "))
}

func showVersion(flags Flags) error {
	if !flags.on("json") {
		fmt.Println(Version)
		return nil
	}
	core, _, _ := strings.Cut(strings.TrimPrefix(Version, "v"), "+")
	return printJSON(map[string]string{"k0s": Version, "kubernetes": core, "runc": "1.2.6", "containerd": "1.7.27", "kine": "0.13.15", "etcd": "3.5.21", "konnectivity": "0.31.0"})
}

func printJSON(value any) error {
	raw, err := json.MarshalIndent(value, "", "   ")
	if err == nil {
		fmt.Println(string(raw))
	}
	return err
}

func root() error {
	if os.Geteuid() != 0 {
		return errors.New("this command must be run as root")
	}
	return nil
}

func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }
