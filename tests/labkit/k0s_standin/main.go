// A stand-in for k0s: its command line, its layout and its rules, without Kubernetes behind them.
package main

import (
	"os"

	"github.com/k0sproject/k0s/standin"
)

func main() {
	os.Exit(standin.Main(os.Args[1:]))
}
