package standin

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
)

// admin is the own cluster, on a controller that runs.
func admin(flags Flags) (Kubeconfig, error) {
	if _, err := currentStatus(); err != nil {
		return Kubeconfig{}, err
	}
	return readKubeconfig(filepath.Join(flags.data(), "pki/admin.conf"))
}

func createToken(flags Flags) error {
	role := flags.get("role")
	if role == "" {
		role = "worker"
	}
	if role != "worker" && role != "controller" {
		return fmt.Errorf("unsupported role %q; supported roles are \"controller\" and \"worker\"", role)
	}
	config, err := admin(flags)
	if err != nil {
		return err
	}
	about, err := currentStatus()
	if err != nil {
		return err
	}
	if about.SingleNode {
		return errors.New("refusing to create token: cannot join into a single node cluster")
	}
	token := Token{Role: role, Secret: secret(8)}
	if expiry := flags.get("expiry"); expiry != "" && expiry != "0s" {
		lasts, err := time.ParseDuration(expiry)
		if err != nil {
			return err
		}
		token.Expires = time.Now().Add(lasts)
	}
	id := secret(3)
	if err := config.call("POST", "/standin/change", Change{Op: "token", Name: id, Token: &token}, nil); err != nil {
		return err
	}
	var state State
	if err := config.call("GET", "/standin/state", nil, &state); err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	host := state.Members[name]
	for _, path := range []string{"api.externalAddress", "api.address"} {
		if said, ok := lookup(about.ClusterConfig.spec(), path).(string); ok && said != "" {
			host = said
			break
		}
	}
	port, user := "6443", "kubelet-bootstrap"
	if role == "controller" {
		port, user = "9443", "controller-bootstrap"
	}
	config.server, config.token = "https://"+net.JoinHostPort(host, port), id+"."+token.Secret
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := io.WriteString(writer, config.text(user)); err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	fmt.Println(base64.StdEncoding.EncodeToString(packed.Bytes()))
	return nil
}

func invalidateToken(flags Flags) error {
	if len(flags.words) == 0 {
		return errors.New("invalidate requires at least one token ID to invalidate")
	}
	config, err := admin(flags)
	for _, id := range flags.words {
		if err == nil {
			err = config.call("POST", "/standin/change", Change{Op: "invalidate", Name: id}, nil)
			fmt.Printf("token %s deleted successfully\n", id)
		}
	}
	return err
}

func listTokens(flags Flags) error {
	config, err := admin(flags)
	if err != nil {
		return err
	}
	var state State
	if err := config.call("GET", "/standin/state", nil, &state); err != nil {
		return err
	}
	fmt.Println("ID\tROLE\tEXPIRES")
	for _, id := range sortedKeys(state.Tokens) {
		fmt.Printf("%s\t%s\t%s\n", id, state.Tokens[id].Role, state.Tokens[id].Expires)
	}
	return nil
}

// ofEtcd is the own cluster, where etcd holds it.
func ofEtcd(flags Flags) (Kubeconfig, error) {
	about, err := currentStatus()
	if err != nil {
		return Kubeconfig{}, err
	}
	if about.ClusterConfig.kine(about.SingleNode) {
		return Kubeconfig{}, errors.New("wrong storage type: kine")
	}
	return admin(flags)
}

func listMembers(flags Flags) error {
	config, err := ofEtcd(flags)
	if err != nil {
		return err
	}
	var state State
	if err := config.call("GET", "/standin/state", nil, &state); err != nil {
		return err
	}
	members := map[string]string{}
	for name, address := range state.Members {
		members[name] = "https://" + net.JoinHostPort(address, "2380")
	}
	raw, err := json.Marshal(map[string]any{"members": members})
	fmt.Println(string(raw))
	return err
}

func leaveEtcd(flags Flags) error {
	config, err := ofEtcd(flags)
	if err != nil {
		return err
	}
	address := flags.get("peer-address")
	if address == "" {
		var state State
		if err := config.call("GET", "/standin/state", nil, &state); err != nil {
			return err
		}
		name, err := os.Hostname()
		if err != nil {
			return err
		}
		address = state.Members[name]
	}
	return config.call("POST", "/standin/change", Change{Op: "leave", IP: address}, nil)
}
