package standin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func unitPath(role string) string { return "/etc/systemd/system/k0s" + role + ".service" }

func systemctl(args ...string) error {
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("\"systemctl\" failed: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// installUnit writes the unit that k0s writes; what stands there is only replaced by force.
func installUnit(role string, flags Flags) error {
	if err := root(); err != nil {
		return err
	}
	if len(flags.words) > 0 {
		return fmt.Errorf("unknown command %q for \"k0s install %s\"", flags.words[0], role)
	}
	if role == "controller" {
		if _, err := readConfig(flags.get("config")); err != nil {
			return fmt.Errorf("invalid node config: %w", err)
		}
	}
	path := unitPath(role)
	if _, err := os.Stat(path); err == nil && !flags.on("force") {
		return fmt.Errorf("failed to install %s service: Init already exists: %s", role, path)
	}
	own, err := os.Executable()
	if err != nil {
		return err
	}
	words := []string{own, role}
	for _, name := range sortedKeys(flags.values) {
		if name != "force" && name != "start" && name != "env" {
			words = append(words, escaped("--"+name+"="+flags.values[name]))
		}
	}
	environment := ""
	if flags.has("env") {
		environment = "Environment=\"" + flags.get("env") + "\"\n"
	}
	unit := "[Unit]\nDescription=k0s - Zero Friction Kubernetes\nDocumentation=https://docs.k0sproject.io\n" +
		"ConditionFileIsExecutable=" + own + "\nAfter=network-online.target\nWants=network-online.target\n\n" +
		"[Service]\nStartLimitInterval=5\nStartLimitBurst=10\nExecStart=" + strings.Join(words, " ") + "\n" + environment +
		"RestartSec=10\nDelegate=yes\nKillMode=process\nLimitCORE=infinity\nTasksMax=infinity\nTimeoutStartSec=0\n" +
		"LimitNOFILE=999999\nRestart=always\n\n[Install]\nWantedBy=multi-user.target\n"
	if err := saveFile(path, []byte(unit), 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{{"enable", "k0s" + role + ".service"}, {"daemon-reload"}} {
		if err := systemctl(args...); err != nil {
			return err
		}
	}
	if flags.on("start") {
		return systemctl("start", "k0s"+role+".service")
	}
	return nil
}

// escaped is a word as systemd reads it back.
func escaped(word string) string {
	return strings.NewReplacer(`\`, `\\`, " ", `\x20`, `"`, `\x22`, "'", `\x27`, "%", "%%").Replace(word)
}

func installedRole() (string, error) {
	for _, role := range []string{"controller", "worker"} {
		if _, err := os.Stat(unitPath(role)); err == nil {
			return role, nil
		}
	}
	return "", errors.New("k0s has not been installed as a service")
}

func startService(Flags) error {
	role, err := installedRole()
	if err != nil {
		return err
	}
	if systemctl("is-active", "k0s"+role) == nil {
		return errors.New("already running")
	}
	return systemctl("start", "k0s"+role)
}

func stopService(Flags) error {
	role, err := installedRole()
	if err != nil {
		return err
	}
	if systemctl("is-active", "k0s"+role) != nil {
		return errors.New("already stopped")
	}
	return systemctl("stop", "k0s"+role)
}

func reset(flags Flags) error {
	if err := root(); err != nil {
		return err
	}
	if statusAnswers() {
		return errors.New("k0s seems to be running, please stop k0s before reset")
	}
	for _, role := range []string{"controller", "worker"} {
		if _, err := os.Stat(unitPath(role)); err == nil {
			if err := systemctl("disable", "k0s"+role+".service"); err != nil {
				return err
			}
			if err := os.Remove(unitPath(role)); err != nil {
				return err
			}
		}
	}
	for _, path := range []string{flags.data(), runDirectory} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr, "k0s cleanup operations done. To finish cleanup, a reboot is recommended.")
	return systemctl("daemon-reload")
}

// Status is what `k0s status` tells; the names are k0s' own.
type Status struct {
	Version                     string
	Pid                         int
	PPid                        int
	Role                        string
	SysInit                     string
	StubFile                    string
	Output                      string
	Workloads                   bool
	SingleNode                  bool
	Args                        []string
	WorkerToAPIConnectionStatus struct {
		Message string
		Success bool
	}
	ClusterConfig ClusterConfig
	K0sVars       struct{ DataDir string }
}

func serveStatus(role string, workloads bool, flags Flags, config ClusterConfig) error {
	if err := os.MkdirAll(runDirectory, 0o755); err != nil {
		return err
	}
	_ = os.Remove(statusSocket)
	listener, err := net.Listen("unix", statusSocket)
	if err != nil {
		return err
	}
	about := Status{Version: Version, Pid: os.Getpid(), PPid: os.Getppid(), Role: role, SysInit: "linux-systemd", StubFile: unitPath(role),
		Workloads: workloads, SingleNode: flags.on("single"), Args: os.Args, ClusterConfig: config}
	about.K0sVars.DataDir = flags.data()
	about.WorkerToAPIConnectionStatus.Success = workloads && Fault == ""
	go func() {
		fatal(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(about) })))
	}()
	return nil
}

func currentStatus() (*Status, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		Dial: func(_, _ string) (net.Conn, error) { return net.Dial("unix", statusSocket) }}}
	response, err := client.Get("http://localhost/status")
	if err != nil {
		return nil, fmt.Errorf("status: can't get \"status\" via %q: %w", statusSocket, err)
	}
	defer response.Body.Close()
	var about Status
	return &about, json.NewDecoder(response.Body).Decode(&about)
}

func statusAnswers() bool {
	_, err := currentStatus()
	return err == nil
}

func showStatus(flags Flags) error {
	about, err := currentStatus()
	if err != nil {
		return err
	}
	if flags.get("out") == "json" {
		return printJSON(about)
	}
	fmt.Printf("Version: %s\nProcess ID: %d\nRole: %s\nWorkloads: %t\nSingleNode: %t\n", about.Version, about.Pid, about.Role, about.Workloads, about.SingleNode)
	return nil
}

func showKubeconfig(flags Flags) error {
	raw, err := os.ReadFile(filepath.Join(flags.data(), "pki/admin.conf"))
	if err != nil {
		return errors.New("failed to read admin config, check if the control plane is initialized on this node: " + err.Error())
	}
	fmt.Print(string(raw))
	return nil
}
