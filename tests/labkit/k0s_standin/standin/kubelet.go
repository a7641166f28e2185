package standin

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"
)

// Kubelet is a node: it imports bundles, compares images with what is wanted, and reports.
type Kubelet struct {
	data     string
	api      Kubeconfig
	node     Node
	imported map[string]time.Time
	flags    Flags
	said     string // the last line of its log
	told     string // the last status that it reported
}

func newKubelet(flags Flags, api Kubeconfig, address string) *Kubelet {
	name, _ := os.Hostname()
	for _, arg := range strings.Fields(flags.get("kubelet-extra-args")) {
		if value, ok := strings.CutPrefix(arg, "--hostname-override="); ok {
			name = value
		}
		if value, ok := strings.CutPrefix(arg, "--node-ip="); ok {
			address = value
		}
	}
	labels := map[string]string{"kubernetes.io/arch": runtime.GOARCH}
	for _, label := range strings.Split(flags.get("labels"), ",") {
		if key, value, ok := strings.Cut(label, "="); ok {
			labels[key] = value
		}
	}
	node := Node{Name: strings.ToLower(name), IP: address, Arch: runtime.GOARCH, Version: kubeVersion(), Labels: labels, Key: api.token}
	return &Kubelet{data: flags.data(), flags: flags, api: api, node: node, imported: map[string]time.Time{}}
}

// keep writes down how the node speaks to its cluster; on a controller, too, it is the node's own right.
func (k *Kubelet) keep() error {
	path := filepath.Join(k.data, "kubelet.conf")
	if known, err := readKubeconfig(path); err == nil {
		k.node.Key, k.api.token = known.token, known.token
		return nil
	}
	k.node.Key = secret(16)
	if err := k.api.call("POST", "/standin/node", k.node, nil); err != nil && Fault == "" {
		return fmt.Errorf("failed to join: %w", err)
	}
	k.api.token = k.node.Key
	return saveFile(path, []byte(k.api.text("default-auth")), 0o600)
}

// turn is one round. A node that was Ready stays so until it restarts: what runs there goes on running.
func (k *Kubelet) turn() {
	k.importBundles()
	if fmt.Sprint(k.node.Ready, k.node.Missing) != k.told || time.Since(k.node.Beat) > 10*time.Second {
		k.told, k.node.Beat = fmt.Sprint(k.node.Ready, k.node.Missing), time.Now().UTC().Truncate(time.Second)
	}
	var wanted Desired
	if err := k.api.call("POST", "/standin/node", k.node, &wanted); err != nil {
		k.say("failed to report node status: %v", err)
		return
	}
	if k.node.Ready || wanted.Release == "" || Fault == "never-ready" {
		return
	}
	if !startsHere(k.flags, wanted.Spec) {
		k.say("kubelet is configured to not run on a host using cgroup v1")
		return
	}
	policy, _ := lookup(wanted.Spec, "images.default_pull_policy").(string)
	stored := storedImages(k.data)
	k.node.Missing = nil
	for _, image := range wanted.Images[k.node.Arch] {
		if _, ok := stored[image]; !ok && policy == "Never" {
			k.node.Missing = append(k.node.Missing, image)
		}
	}
	k.node.Ready = len(k.node.Missing) == 0
	if !k.node.Ready {
		k.say("ErrImageNeverPull: %s", strings.Join(k.node.Missing, " "))
	}
}

func (k *Kubelet) say(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != k.said {
		k.said = text
		logf("%s", text)
	}
}

func storePath(data string) string { return filepath.Join(data, "containerd/images.json") }

// storedImages are the images of the node by name, with the files that each came from.
func storedImages(data string) map[string]map[string]bool {
	stored := map[string]map[string]bool{}
	_ = loadJSON(storePath(data), &stored)
	return stored
}

// importBundles takes in every new file; an image is pinned while one of its files is there, and goes when none
// is: the kubelet collects what nothing pins.
func (k *Kubelet) importBundles() {
	folder := filepath.Join(k.data, "images")
	entries, _ := os.ReadDir(folder)
	stored := storedImages(k.data)
	before := fmt.Sprint(stored)
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		about, err := os.Stat(path)
		if err != nil || about.IsDir() || k.imported[path].Equal(about.ModTime()) {
			continue
		}
		k.imported[path] = about.ModTime()
		names, err := bundleImages(path)
		if err != nil {
			logf("Failed to load OCI bundle %s: %v", path, err)
			continue
		}
		for _, name := range names {
			if stored[name] == nil {
				stored[name] = map[string]bool{}
			}
			stored[name][path] = true
		}
		logf("OCI bundle %s loaded", path)
	}
	for name, paths := range stored {
		for path := range paths {
			if _, err := os.Stat(path); err != nil {
				delete(paths, path)
			}
		}
		if len(paths) == 0 {
			delete(stored, name)
		}
	}
	if fmt.Sprint(stored) != before {
		if err := saveJSON(storePath(k.data), stored); err != nil {
			fatal(err)
		}
	}
}

type descriptor struct {
	Digest      string
	Platform    *struct{ Architecture string }
	Annotations map[string]string
}

// bundleImages are the names in an OCI layout whose configuration is for this machine.
func bundleImages(path string) ([]string, error) {
	files, err := readBundle(path)
	if err != nil {
		return nil, err
	}
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	var names []string
	for _, one := range index.Manifests {
		name := one.Annotations["io.containerd.image.name"]
		if name == "" {
			name = one.Annotations["org.opencontainers.image.ref.name"]
		}
		if name != "" && runsHere(files, one) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names, nil
}

func runsHere(files map[string][]byte, one descriptor) bool {
	var document struct {
		Manifests []descriptor
		Config    descriptor
	}
	if json.Unmarshal(blob(files, one.Digest), &document) != nil {
		return false
	}
	for _, inner := range document.Manifests {
		if inner.Platform != nil && inner.Platform.Architecture == runtime.GOARCH && runsHere(files, inner) {
			return true
		}
	}
	var config struct{ Architecture string }
	return json.Unmarshal(blob(files, document.Config.Digest), &config) == nil && config.Architecture == runtime.GOARCH
}

func blob(files map[string][]byte, digest string) []byte {
	return files["blobs/"+strings.Replace(digest, ":", "/", 1)]
}

func readBundle(path string) (map[string][]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	files := map[string][]byte{}
	for archive := tar.NewReader(file); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(archive)
		if err != nil {
			return nil, err
		}
		files[strings.TrimPrefix(header.Name, "./")] = raw
	}
}

func readToken(path string) (Kubeconfig, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Kubeconfig{}, fmt.Errorf("failed to read token file: %w", err)
	}
	packed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(raw)))
	if err != nil {
		return Kubeconfig{}, fmt.Errorf("failed to decode token: %w", err)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return Kubeconfig{}, fmt.Errorf("failed to decode token: %w", err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		return Kubeconfig{}, fmt.Errorf("failed to decode token: %w", err)
	}
	return parseKubeconfig(text)
}

func runWorker(flags Flags) error {
	if err := root(); err != nil {
		return err
	}
	if err := unpack(flags.data()); err != nil {
		return err
	}
	if err := preflight(flags); err != nil {
		return err
	}
	path := filepath.Join(flags.data(), "kubelet.conf")
	api, err := readKubeconfig(path)
	fresh := errors.Is(err, os.ErrNotExist)
	if err != nil && !fresh {
		return err
	}
	if fresh || atLeast(1, 35, 1) {
		token, err := readToken(flags.get("token-file"))
		if err != nil {
			return err
		}
		if fresh {
			if !strings.HasSuffix(token.server, ":6443") {
				return errors.New("wrong token type: not a worker token")
			}
			api = token
		}
	}
	crash()
	kubelet := newKubelet(flags, api, routeTo(hostOf(api.server)))
	if err := kubelet.keep(); err != nil {
		return err
	}
	if err := serveStatus("worker", true, flags, nil); err != nil {
		return err
	}
	for ; ; time.Sleep(300 * time.Millisecond) {
		kubelet.turn()
	}
}

func hostOf(server string) string {
	parsed, err := url.Parse(server)
	if err != nil {
		return ""
	}
	return parsed.Hostname()
}

// routeTo is the own address from which a host is reached; nothing is sent.
func routeTo(host string) string {
	connection, err := net.Dial("udp", net.JoinHostPort(host, "9"))
	if err != nil {
		return "127.0.0.1"
	}
	defer connection.Close()
	own, _, _ := net.SplitHostPort(connection.LocalAddr().String())
	return own
}

func listStored(flags Flags) error {
	about, err := currentStatus()
	if err != nil || !about.Workloads {
		return errors.New("ctr: failed to dial \"/run/k0s/containerd.sock\": connect: no such file or directory")
	}
	var names []string
	for name := range storedImages(about.K0sVars.DataDir) {
		names = append(names, name)
	}
	sort.Strings(names)
	if !flags.on("quiet") {
		fmt.Println("REF TYPE DIGEST SIZE PLATFORMS LABELS")
	}
	for _, name := range names {
		if flags.on("quiet") {
			fmt.Println(name)
			continue
		}
		digest := sha256.Sum256([]byte(name))
		fmt.Printf("%s application/vnd.oci.image.manifest.v1+json sha256:%x 1.0 KiB %s io.cri-containerd.pinned=pinned\n", name, digest, platform())
	}
	return nil
}
