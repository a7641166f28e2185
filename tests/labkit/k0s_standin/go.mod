// The path is k0s' own: inspectors know k0s by it. Nothing here is k0s' code.
module github.com/k0sproject/k0s

go 1.21
