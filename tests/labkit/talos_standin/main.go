// A stand-in for Talos: named `apid` it is a machine's API on port 50000, under any other name `talosctl`.
//
// What both say and when was seen with talosctl and machined v1.14.0-rc.1.
//
// A machine in maintenance takes one configuration from anybody; then it is away for a moment, as if it
// installed itself, and answers only to clients whose certificates its configuration's authority signed.
// etcd is begun once. What the two say to each other is JSON instead of gRPC.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// request is what a client asks; reply is what the machine answers.
type request struct {
	Op     string `json:"op"`
	Config string `json:"config,omitempty"`
}

type reply struct {
	Said  string `json:"said,omitempty"`
	Error string `json:"error,omitempty"`
}

// settings is an HTTP/2 frame without settings: what a gRPC server says first.
const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

func main() {
	var err error
	if strings.HasPrefix(filepath.Base(os.Args[0]), "apid") {
		err = serve(":50000")
	} else {
		err = talosctl(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
