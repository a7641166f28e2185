package main

import (
	"bufio"
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
	"math/big"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"
)

// away is how long a machine installs itself and reboots.
const away = 1500 * time.Millisecond

// late is when, after its first answer, a machine in maintenance gets one more address (a router advertisement
// after a lease): its certificate is made anew then, with a new key. Seen with machined v1.14.0-rc.1, whose
// controller (secrets/api.go, maintenance.go before) does so at every change of addresses.
const late = 1200 * time.Millisecond

var authority = regexp.MustCompile(`(?s)\n  ca:\n    crt: ([A-Za-z0-9+/=]+)\n`)

type machine struct {
	mutex      sync.Mutex
	configured bool
	plane      bool
	etcd       bool
	clients    *x509.CertPool
	shown      time.Time
	renewed    bool
	own        *tls.Certificate
	changed    chan struct{}
}

func serve(address string) error {
	m := &machine{changed: make(chan struct{}, 1)}
	for {
		listener, err := m.listen(address)
		if err != nil {
			return err
		}
		// What an API in maintenance accepted stays in maintenance, even when it has taken a configuration.
		go m.accept(listener, m.configured)
		<-m.changed
		listener.Close()
		time.Sleep(away)
	}
}

func (m *machine) listen(address string) (net.Listener, error) {
	config := &tls.Config{
		GetCertificate: m.certificate,
		MinVersion:     tls.VersionTLS13,
		NextProtos:     []string{"h2"},
	}
	if m.configured {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, m.clients
	}
	return tls.Listen("tcp", address, config)
}

func (m *machine) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.shown.IsZero() {
		m.shown = time.Now()
	}
	address := !m.renewed && time.Since(m.shown) > late
	if m.own == nil || address {
		made, err := selfSigned()
		if err != nil {
			return nil, err
		}
		m.own, m.renewed = &made, address
	}
	return m.own, nil
}

func (m *machine) accept(listener net.Listener, configured bool) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go m.talk(connection, configured)
	}
}

func (m *machine) talk(connection net.Conn, configured bool) {
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := connection.Write([]byte(settings)); err != nil {
		return
	}
	line, err := bufio.NewReaderSize(connection, 1<<20).ReadBytes('\n')
	var asked request
	if err != nil || json.Unmarshal(line, &asked) != nil {
		return // a client of the real protocol: it saw what it came for
	}
	said, err := m.answer(asked, configured)
	answer := reply{Said: said}
	if err != nil {
		answer.Error = err.Error()
	}
	json.NewEncoder(connection).Encode(answer)
	if err == nil && asked.Op == "apply-config" {
		m.changed <- struct{}{}
	}
}

func (m *machine) answer(asked request, configured bool) (string, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	switch {
	case asked.Op == "apply-config" && !configured && !m.configured:
		return "", m.take(asked.Config)
	case !configured:
		return "", errors.New("rpc error: code = Unavailable desc = tls: failed to verify certificate: x509: certificate signed by unknown authority")
	case asked.Op == "stage":
		if m.plane && !m.etcd {
			return "booting", nil
		}
		return "running", nil
	case asked.Op == "install-status":
		return "", nil // a release that knows it, and a configuration without an UnattendedInstallConfig
	case asked.Op == "bootstrap" && !m.plane:
		return "", errors.New("rpc error: code = Unimplemented desc = bootstrap is only available on control plane nodes")
	case asked.Op == "bootstrap" && m.etcd:
		return "", errors.New("rpc error: code = AlreadyExists desc = etcd data directory is not empty")
	case asked.Op == "bootstrap":
		m.etcd = true
		return "", nil
	case asked.Op == "etcd-members" && m.etcd:
		return "1 member", nil
	case asked.Op == "etcd-members":
		return "", errors.New("rpc error: code = Unavailable desc = etcd is not running")
	}
	return "", errors.New("rpc error: code = Unimplemented desc = " + asked.Op)
}

func (m *machine) take(config string) error {
	found := authority.FindStringSubmatch(config)
	if found == nil {
		return errors.New("rpc error: code = InvalidArgument desc = the configuration has no machine.ca")
	}
	text, err := base64.StdEncoding.DecodeString(found[1])
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(text) {
		return errors.New("rpc error: code = InvalidArgument desc = machine.ca.crt is no certificate")
	}
	m.clients, m.configured = pool, true
	m.plane = strings.Contains(config, "type: controlplane")
	return nil
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{Organization: []string{"talos"}},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	made, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}),
	)
}
