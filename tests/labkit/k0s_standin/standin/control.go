package standin

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

var quiet = log.New(io.Discard, "", 0)

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "Error:", err)
	os.Exit(1)
}

func logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "time=%q level=info msg=%q\n", time.Now().UTC().Format(time.RFC3339), fmt.Sprintf(format, args...))
}

// Control is a running controller: its copy of the state, and the way to its peers.
type Control struct {
	mutex   sync.Mutex
	data    string
	name    string
	address string
	state   *State
	config  ClusterConfig
	dynamic bool
	single  bool
	trusted Kubeconfig
}

// The places of the state: what one kind of datastore holds, the other one knows nothing of.
const (
	etcdState = "etcd/member/state.json"
	kineState = "db/state.db"
)

func (c *Control) path() string {
	if c.config.kine(c.single) {
		return filepath.Join(c.data, kineState)
	}
	return filepath.Join(c.data, etcdState)
}

// peer is how another member is spoken to: its address, with the administrator's token.
func (c *Control) peer(address string) Kubeconfig {
	peer := c.trusted
	peer.server = "https://" + net.JoinHostPort(address, "9443")
	return peer
}

func runController(flags Flags) error {
	if err := root(); err != nil {
		return err
	}
	if err := unpack(flags.data()); err != nil {
		return err
	}
	if _, err := os.Stat(statusSocket); err == nil && statusAnswers() {
		return errors.New("k0s is already running")
	}
	config, err := readConfig(flags.get("config"))
	if err != nil {
		return err
	}
	if flags.has("token-file") && flags.on("single") {
		return errors.New("controller cannot join with --single")
	}
	workloads := flags.on("enable-worker") || flags.on("single")
	if workloads {
		if err := preflight(flags); err != nil {
			return err
		}
	}
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	c := &Control{data: flags.data(), name: name, config: config, dynamic: flags.on("enable-dynamic-config"), single: flags.on("single")}
	if err := c.begin(flags); err != nil {
		return err
	}
	crash()
	for _, port := range []string{"6443", "9443"} {
		if err := listen(c.data, port, http.HandlerFunc(c.serve)); err != nil {
			return err
		}
	}
	if err := c.change(Change{Op: "member", Name: c.name, IP: c.address}); err != nil {
		logf("cannot announce: %v", err)
	}
	if err := serveStatus("controller", workloads, flags, config); err != nil {
		return err
	}
	var kubelet *Kubelet
	if workloads {
		local := c.trusted
		local.server = "https://127.0.0.1:6443"
		kubelet = newKubelet(flags, local, c.address)
		if err := kubelet.keep(); err != nil {
			return err
		}
	}
	for ; ; time.Sleep(300 * time.Millisecond) {
		c.lead()
		if kubelet != nil {
			kubelet.turn()
		}
	}
}

// begin loads what is there, joins with a token, or begins a cluster.
func (c *Control) begin(flags Flags) error {
	c.state = newState()
	err := loadJSON(c.path(), c.state)
	fresh := errors.Is(err, os.ErrNotExist)
	if err != nil && !fresh {
		return err
	}
	if flags.has("token-file") && (fresh || atLeast(1, 35, 1)) {
		if _, err := readToken(flags.get("token-file")); err != nil {
			return err
		}
	}
	switch {
	case fresh && flags.has("token-file"):
		err = c.join(flags)
	case fresh:
		c.address = c.peerAddress(routeTo("192.0.2.1"))
		c.state.Admin = secret(16)
		// A kubelet that is there has its rights from the CA, which stays: it reports to an empty cluster as well.
		_ = os.Remove(filepath.Join(c.data, "kubelet.conf"))
		err = makeCA(c.data)
	default:
		c.address = c.state.Members[c.name]
		err = nil
		if c.address == "" {
			return errors.New("etcd: the member has been permanently removed from the cluster")
		}
	}
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(filepath.Join(c.data, "pki/ca.crt"))
	if err != nil {
		return err
	}
	c.trusted = Kubeconfig{"https://localhost:6443", ca, c.state.Admin}
	if fresh {
		c.state.Members[c.name] = c.address
	}
	for _, name := range c.state.order() {
		var theirs State
		if name != c.name && c.peer(c.state.Members[name]).call("GET", "/standin/state", nil, &theirs) == nil && theirs.Rev > c.state.Rev {
			c.state = &theirs
		}
	}
	if err := saveJSON(c.path(), c.state); err != nil {
		return err
	}
	return saveFile(filepath.Join(c.data, "pki/admin.conf"), []byte(c.trusted.text("user")), 0o600)
}

func (c *Control) peerAddress(otherwise string) string {
	for _, path := range []string{"storage.etcd.peerAddress", "api.address"} {
		if said, ok := lookup(c.config.spec(), path).(string); ok && said != "" {
			return said
		}
	}
	return otherwise
}

// Joined is what a controller gets when it joins: everything.
type Joined struct {
	State *State
	CA    []byte
	CAKey []byte
}

func (c *Control) join(flags Flags) error {
	token, err := readToken(flags.get("token-file"))
	if err != nil {
		return err
	}
	if !strings.HasSuffix(token.server, ":9443") {
		return errors.New("wrong token type: not a controller token")
	}
	c.address = c.peerAddress(routeTo(hostOf(token.server)))
	var joined Joined
	if err := token.call("POST", "/v1beta1/etcd/members", Change{Name: c.name, IP: c.address}, &joined); err != nil {
		return fmt.Errorf("failed to join etcd cluster: %w", err)
	}
	c.state = joined.State
	return saveCA(c.data, joined.CA, joined.CAKey)
}

// lead keeps up what the release wants to run, on the one controller that leads.
func (c *Control) lead() {
	c.mutex.Lock()
	spec := c.config.spec()
	live := c.state.Config
	missing := c.dynamic && live == nil
	known := c.state.Desired
	c.mutex.Unlock()
	if !c.leads() {
		return
	}
	if missing {
		if err := c.change(Change{Op: "config", Config: c.config.live()}); err != nil {
			logf("cannot create the ClusterConfig: %v", err)
		}
		return
	}
	if c.dynamic {
		spec = live.spec()
	}
	wants := Desired{Release: Version, Spec: spec, Images: map[string][]string{}}
	for _, arch := range []string{"amd64", "arm64", "arm", "riscv64"} {
		wants.Images[arch] = needed(spec, arch)
	}
	if fmt.Sprint(wants) != fmt.Sprint(known) {
		if err := c.change(Change{Op: "desired", Desired: &wants}); err != nil {
			logf("cannot apply manifests: %v", err)
		}
	}
}

func (c *Control) leads() bool {
	for _, name := range c.snapshot().order() {
		if name == c.name {
			return true
		}
		if c.alive(name) {
			return false
		}
	}
	return false
}

func (c *Control) alive(name string) bool {
	return name == c.name || c.peer(c.snapshot().Members[name]).call("GET", "/standin/ping", nil, nil) == nil
}

// quorum asks every voter: a learner is none before it runs.
func (c *Control) quorum() bool {
	alive := 0
	members := c.snapshot().order()
	for _, name := range members {
		if c.alive(name) {
			alive++
		}
	}
	return alive > len(members)/2
}

func (c *Control) snapshot() *State {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return cloned(c.state)
}

// Change is one write; Op says which.
type Change struct {
	Op      string
	Name    string
	IP      string
	Notes   map[string]string
	Node    *Node
	Token   *Token
	Config  ClusterConfig
	Desired *Desired
	On      bool
}

func (s *State) apply(change Change) error {
	switch change.Op {
	case "member":
		s.Members[change.Name] = change.IP
		if s.Learner == change.Name {
			s.Learner = ""
		}
	case "learner":
		s.Learner = change.Name
		s.Members[change.Name] = change.IP
	case "leave":
		for name, address := range s.Members {
			if address == change.IP {
				delete(s.Members, name)
				return nil
			}
		}
		return status{http.StatusNotFound, "peer not found: https://" + change.IP + ":2380"}
	case "token":
		s.Tokens[change.Name] = *change.Token
	case "invalidate":
		delete(s.Tokens, change.Name)
	case "config":
		s.Config = change.Config
	case "desired":
		s.Desired = *change.Desired
	case "node":
		if old := s.Nodes[change.Node.Name]; old != nil {
			change.Node.Unschedulable, change.Node.Annotations = old.Unschedulable, old.Annotations
		}
		s.Nodes[change.Node.Name] = change.Node
	case "cordon":
		if s.Nodes[change.Name] == nil {
			return notFound(change.Name)
		}
		s.Nodes[change.Name].Unschedulable = change.On
	case "annotate":
		if s.Nodes[change.Name] == nil {
			return notFound(change.Name)
		}
		if s.Nodes[change.Name].Annotations == nil {
			s.Nodes[change.Name].Annotations = map[string]string{}
		}
		for key, value := range change.Notes {
			s.Nodes[change.Name].Annotations[key] = value
		}
	case "delete":
		if s.Nodes[change.Name] == nil {
			return notFound(change.Name)
		}
		delete(s.Nodes, change.Name)
	default:
		return status{http.StatusBadRequest, "unknown change " + change.Op}
	}
	return nil
}

func notFound(node string) error {
	return status{http.StatusNotFound, fmt.Sprintf("Error from server (NotFound): nodes %q not found", node)}
}

// change is made by the first member that answers, so that two writes never cross.
func (c *Control) change(change Change) error {
	if !c.quorum() {
		return status{http.StatusServiceUnavailable, "etcdserver: no leader"}
	}
	state := c.snapshot()
	for _, name := range state.order() {
		if name == c.name {
			return c.write(change)
		}
		err := c.peer(state.Members[name]).call("POST", "/standin/write", change, nil)
		if _, answered := err.(status); err == nil || answered {
			return err
		}
	}
	return status{http.StatusServiceUnavailable, "etcdserver: no leader"}
}

func (c *Control) write(change Change) error {
	c.mutex.Lock()
	next := cloned(c.state)
	err := next.apply(change)
	if err == nil {
		next.Rev++
		if err = saveJSON(c.path(), next); err == nil {
			c.state = next
		}
	}
	c.mutex.Unlock()
	if err != nil {
		return err
	}
	for name, address := range next.Members {
		if name != c.name {
			_ = c.peer(address).call("PUT", "/standin/state", next, nil) // who is away asks when it is back
		}
	}
	return nil
}

func crash() {
	if Fault == "crashes" {
		fatal(errors.New("kube-apiserver: exit status 1"))
	}
}
