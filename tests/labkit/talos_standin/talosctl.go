package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"time"
)

// options are those flags of talosctl that take a value; insecure is the one that does not.
var options = map[string]bool{
	"--talosconfig": true, "-e": true, "-n": true, "-o": true, "-f": true, "--cert-fingerprint": true,
	"--control-plane-nodes": true, "--worker-nodes": true, "--wait-timeout": true,
}

type call struct {
	words    []string
	values   map[string]string
	insecure bool
}

func parse(arguments []string) (call, error) {
	c := call{values: map[string]string{}}
	for i := 0; i < len(arguments); i++ {
		word := arguments[i]
		switch {
		case word == "--insecure":
			c.insecure = true
		case options[word] && i+1 < len(arguments):
			i++
			c.values[word] = arguments[i]
		case strings.HasPrefix(word, "-"):
			return c, fmt.Errorf("unknown flag: %s", word)
		default:
			c.words = append(c.words, word)
		}
	}
	return c, nil
}

func talosctl(arguments []string) error {
	if err := record(arguments); err != nil {
		return err
	}
	c, err := parse(arguments)
	if err != nil {
		return err
	}
	node := c.values["-n"]
	switch strings.Join(c.words, " ") {
	case "apply-config":
		return c.apply(node)
	case "get unattendedinstallstatuses":
		return c.tell(node, "install-status")
	case "get machinestatus":
		return c.tell(node, "stage")
	case "bootstrap":
		return c.tell(node, "bootstrap")
	case "etcd members":
		return c.tell(node, "etcd-members")
	case "health":
		return c.health()
	}
	return fmt.Errorf("unknown command %q for \"talosctl\"", strings.Join(c.words, " "))
}

// record writes down what was called, for tests to read: one line of JSON for each call.
func record(arguments []string) error {
	path := os.Getenv("TALOSCTL_LOG")
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	return json.NewEncoder(file).Encode(arguments)
}

func (c call) apply(node string) error {
	config, err := os.ReadFile(c.values["-f"])
	if err != nil {
		return err
	}
	if !c.insecure {
		return errors.New("this stand-in configures machines in maintenance alone: --insecure")
	}
	trusted := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	if wanted := c.values["--cert-fingerprint"]; wanted != "" {
		trusted.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
			shown, err := x509.ParseCertificate(raw[0])
			if err != nil {
				return err
			}
			sum := sha256.Sum256(shown.RawSubjectPublicKeyInfo)
			if base64.StdEncoding.EncodeToString(sum[:]) != wanted {
				return fmt.Errorf("leaf peer certificate doesn't match the provided fingerprints: [%s]", wanted)
			}
			return nil
		}
	}
	_, err = ask(node, trusted, request{Op: "apply-config", Config: string(config)})
	if err == nil {
		fmt.Fprintln(os.Stderr, "Applied configuration without a reboot")
	}
	return err
}

func (c call) tell(node, op string) error {
	said, err := c.trusted(node, op)
	if err == nil && said != "" {
		fmt.Println(said)
	}
	return err
}

func (c call) health() error {
	planes := strings.Split(c.values["--control-plane-nodes"], ",")
	for _, node := range append(planes, strings.Split(c.values["--worker-nodes"], ",")...) {
		if node == "" {
			continue
		}
		stage, err := c.trusted(node, "stage")
		if err != nil || stage != "running" {
			return fmt.Errorf("%s is not healthy: %s %v", node, stage, err)
		}
	}
	return nil
}

func (c call) trusted(node, op string) (string, error) {
	certificate, err := credentials(c.values["--talosconfig"])
	if err != nil {
		return "", err
	}
	config := &tls.Config{
		InsecureSkipVerify: true,
		Certificates:       []tls.Certificate{certificate},
		NextProtos:         []string{"h2"},
	}
	return ask(node, config, request{Op: op})
}

func credentials(path string) (tls.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return tls.Certificate{}, err
	}
	certificate, err := field(text, "crt")
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := field(text, "key")
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certificate, key)
}

func field(text []byte, name string) ([]byte, error) {
	found := regexp.MustCompile(`(?m)^ +` + name + `: ([A-Za-z0-9+/=]+)$`).FindSubmatch(text)
	if found == nil {
		return nil, errors.New("the talosconfig has no " + name)
	}
	return base64.StdEncoding.DecodeString(string(found[1]))
}

func ask(node string, config *tls.Config, what request) (string, error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	connection, err := tls.DialWithDialer(dialer, "tcp", net.JoinHostPort(node, "50000"), config)
	if err != nil {
		return "", fmt.Errorf("rpc error: code = Unavailable desc = %w", err)
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(15 * time.Second))
	if err := json.NewEncoder(connection).Encode(what); err != nil {
		return "", err
	}
	reader := bufio.NewReader(connection)
	if _, err := io.CopyN(io.Discard, reader, int64(len(settings))); err != nil {
		return "", fmt.Errorf("rpc error: code = Unavailable desc = %w", err)
	}
	var answer reply
	if err := json.NewDecoder(reader).Decode(&answer); err != nil {
		return "", err
	}
	if answer.Error != "" {
		return "", errors.New(answer.Error)
	}
	return answer.Said, nil
}
