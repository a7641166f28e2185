package standin

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// One certificate serves the whole cluster; who knows it knows the cluster.

func makeCA(data string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "kubernetes-ca"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	raw, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return saveCA(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}))
}

func saveCA(data string, certificate, key []byte) error {
	if err := saveFile(filepath.Join(data, "pki/ca.key"), key, 0o600); err != nil {
		return err
	}
	return saveFile(filepath.Join(data, "pki/ca.crt"), certificate, 0o644)
}

// Kubeconfig is the little of one that is needed to speak to a cluster.
type Kubeconfig struct {
	server string
	ca     []byte
	token  string
}

func (k Kubeconfig) text(user string) string {
	return fmt.Sprintf("apiVersion: v1\nclusters:\n- cluster:\n    server: %s\n    certificate-authority-data: %s\n  name: k0s\n"+
		"contexts:\n- context:\n    cluster: k0s\n    user: %s\n  name: k0s\ncurrent-context: k0s\nkind: Config\npreferences: {}\n"+
		"users:\n- name: %s\n  user:\n    token: %s\n", k.server, base64.StdEncoding.EncodeToString(k.ca), user, user, k.token)
}

var kubeconfigField = regexp.MustCompile(`(?m)^\s+(server|certificate-authority-data|token): (\S+)$`)

func parseKubeconfig(raw []byte) (Kubeconfig, error) {
	var config Kubeconfig
	for _, match := range kubeconfigField.FindAllStringSubmatch(string(raw), -1) {
		switch match[1] {
		case "server":
			config.server = match[2]
		case "token":
			config.token = match[2]
		default:
			ca, err := base64.StdEncoding.DecodeString(match[2])
			if err != nil {
				return config, err
			}
			config.ca = ca
		}
	}
	if config.server == "" || config.token == "" || config.ca == nil {
		return config, errors.New("invalid kubeconfig")
	}
	return config, nil
}

func readKubeconfig(path string) (Kubeconfig, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Kubeconfig{}, err
	}
	return parseKubeconfig(raw)
}

// status is an answer that says no.
type status struct {
	code int
	text string
}

func (s status) Error() string { return s.text }

// call asks a server of this cluster; `answer` may be nil.
func (k Kubeconfig) call(method, path string, question, answer any) error {
	block, _ := pem.Decode(k.ca)
	if block == nil {
		return errors.New("no certificate")
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // the certificate itself is compared: names play no part
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 || !bytes.Equal(raw[0], block.Bytes) {
				return errors.New("x509: certificate signed by unknown authority")
			}
			return nil
		}}}}
	defer client.CloseIdleConnections()
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, k.server+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+k.token)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return status{response.StatusCode, strings.TrimSpace(string(raw))}
	}
	if text, ok := answer.(*string); ok {
		*text = string(raw)
		return nil
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(raw, answer)
}

func listen(data string, port string, handler http.Handler) error {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(data, "pki/ca.crt"), filepath.Join(data, "pki/ca.key"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
		ErrorLog: quiet, ReadTimeout: 10 * time.Second}
	go func() { fatal(server.ServeTLS(listener, "", "")) }()
	return nil
}
