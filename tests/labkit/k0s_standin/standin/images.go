package standin

import (
	"errors"
	"fmt"
	"runtime"
	"sort"
	"strings"
)

// Where each component's image stands in the configuration, and what releases have there.
// Names and versions are those of k0s' own releases; the nearest older minor stands for those between.
type imageDefault struct {
	path  string
	image string
}

var imagesByMinor = map[int][]imageDefault{
	29: {
		{"images.konnectivity", "quay.io/k0sproject/apiserver-network-proxy-agent:v0.1.4"},
		{"images.pushgateway", "quay.io/k0sproject/pushgateway-ttl:1.4.0-k0s.0"},
		{"images.metricsserver", "registry.k8s.io/metrics-server/metrics-server:v0.7.2"},
		{"images.kubeproxy", "quay.io/k0sproject/kube-proxy:KUBERNETES"},
		{"images.coredns", "quay.io/k0sproject/coredns:1.11.3"},
		{"images.pause", "registry.k8s.io/pause:3.8"},
		{"images.calico.cni", "quay.io/k0sproject/calico-cni:v3.26.4-0"},
		{"images.calico.node", "quay.io/k0sproject/calico-node:v3.26.4-0"},
		{"images.calico.kubecontrollers", "quay.io/k0sproject/calico-kube-controllers:v3.26.4-0"},
		{"images.kuberouter.cni", "quay.io/k0sproject/kube-router:v1.6.1-iptables1.8.9-0"},
		{"images.kuberouter.cniInstaller", "quay.io/k0sproject/cni-node:1.3.0-k0s.0"},
		{"network.nodeLocalLoadBalancing.envoyProxy.image", "quay.io/k0sproject/envoy-distroless:v1.29.12"},
	},
	30: {
		{"images.konnectivity", "quay.io/k0sproject/apiserver-network-proxy-agent:v0.30.3"},
		{"images.pushgateway", "quay.io/k0sproject/pushgateway-ttl:1.4.0-k0s.0"},
		{"images.metricsserver", "registry.k8s.io/metrics-server/metrics-server:v0.7.2"},
		{"images.kubeproxy", "quay.io/k0sproject/kube-proxy:KUBERNETES"},
		{"images.coredns", "quay.io/k0sproject/coredns:1.11.4"},
		{"images.pause", "registry.k8s.io/pause:3.9"},
		{"images.calico.cni", "quay.io/k0sproject/calico-cni:v3.27.5-0"},
		{"images.calico.node", "quay.io/k0sproject/calico-node:v3.27.5-0"},
		{"images.calico.kubecontrollers", "quay.io/k0sproject/calico-kube-controllers:v3.27.5-0"},
		{"images.kuberouter.cni", "quay.io/k0sproject/kube-router:v2.1.0-iptables1.8.9-0"},
		{"images.kuberouter.cniInstaller", "quay.io/k0sproject/cni-node:1.3.0-k0s.0"},
		{"network.nodeLocalLoadBalancing.envoyProxy.image", "quay.io/k0sproject/envoy-distroless:v1.30.9"},
	},
	36: {
		{"images.konnectivity", "quay.io/k0sproject/apiserver-network-proxy-agent:v0.36.0-k0s.0"},
		{"images.pushgateway", "quay.io/k0sproject/pushgateway-ttl:1.4.0-k0s.2"},
		{"images.metricsserver", "quay.io/k0sproject/metrics-server:v0.9.0-k0s.0"},
		{"images.kubeproxy", "quay.io/k0sproject/kube-proxy:KUBERNETES"},
		{"images.coredns", "quay.io/k0sproject/coredns:1.14.6-k0s.0"},
		{"images.pause", "quay.io/k0sproject/pause:3.10.2-0"},
		{"images.calico.cni", "quay.io/k0sproject/calico-cni:v3.32.1-2"},
		{"images.calico.node", "quay.io/k0sproject/calico-node:v3.32.1-2"},
		{"images.calico.kubecontrollers", "quay.io/k0sproject/calico-kube-controllers:v3.32.1-2"},
		{"images.kuberouter.cni", "quay.io/k0sproject/kube-router:v2.10.0-iptables1.8.13-k0s.1"},
		{"images.kuberouter.cniInstaller", "quay.io/k0sproject/cni-node:v1.9.1-k0s.1"},
		{"network.nodeLocalLoadBalancing.envoyProxy.image", "quay.io/k0sproject/envoy-distroless:v1.39.0"},
		{"network.nodeLocalLoadBalancing.traefik.image", "quay.io/k0sproject/traefik:v3.7.7-k0s.0"},
	},
}

func defaultImages() []imageDefault {
	best := 0
	for minor := range imagesByMinor {
		if minor <= versionNumbers(Version)[1] && minor > best {
			best = minor
		}
	}
	core, _, _ := strings.Cut(Version, "+")
	var images []imageDefault
	for _, one := range imagesByMinor[best] {
		one.image = strings.ReplaceAll(one.image, "KUBERNETES", core)
		images = append(images, one)
	}
	return images
}

// effective is the image of a place: what the configuration says there, else what this release has.
func effective(spec map[string]any, one imageDefault) string {
	name, tag, _ := cutImage(one.image)
	if repository, ok := lookup(spec, "images.repository").(string); ok && repository != "" {
		_, rest, _ := strings.Cut(name, "/")
		name = repository + "/" + rest
	}
	if said, ok := lookup(spec, one.path+".image").(string); ok {
		name = said
	}
	if said, ok := lookup(spec, one.path+".version").(string); ok {
		tag = said
	}
	return name + ":" + tag
}

func cutImage(image string) (name, tag string, ok bool) {
	at := strings.LastIndexByte(image, ':')
	if at < 0 {
		return image, "", false
	}
	return image[:at], image[at+1:], true
}

// wanted tells whether a cluster of this configuration uses an image on a node of an architecture.
func wanted(spec map[string]any, path, arch string, all bool) bool {
	enabled, _ := lookup(spec, "network.nodeLocalLoadBalancing.enabled").(bool)
	balancer, _ := lookup(spec, "network.nodeLocalLoadBalancing.type").(string)
	provider, _ := lookup(spec, "network.provider").(string)
	switch {
	case strings.HasSuffix(path, "envoyProxy.image"):
		return (all || (enabled && balancer != "Traefik")) && arch != "arm" && arch != "riscv64"
	case strings.HasSuffix(path, "traefik.image"):
		return all || (enabled && balancer == "Traefik")
	case all:
		return true
	case path == "images.pushgateway":
		return false
	case strings.HasPrefix(path, "images.calico."):
		return provider == "calico" || !atLeast(1, 30)
	case strings.HasPrefix(path, "images.kuberouter."):
		return provider != "calico" || !atLeast(1, 30)
	}
	return true
}

// needed are the images that run on a node: of the networks only the one that is chosen.
func needed(spec map[string]any, arch string) []string {
	var images []string
	provider, _ := lookup(spec, "network.provider").(string)
	for _, one := range defaultImages() {
		other := strings.HasPrefix(one.path, "images.calico.") != (provider == "calico") &&
			(strings.HasPrefix(one.path, "images.calico.") || strings.HasPrefix(one.path, "images.kuberouter."))
		if !other && wanted(spec, one.path, arch, false) {
			images = append(images, effective(spec, one))
		}
	}
	sort.Strings(images)
	return images
}

func listImages(flags Flags) error {
	arch := runtime.GOARCH
	if flags.has("platform") {
		if !atLeast(1, 36) {
			return errors.New("unknown flag: --platform")
		}
		arch = strings.TrimPrefix(flags.get("platform"), "linux/")
	}
	config, err := readConfig(flags.get("config"))
	if err != nil {
		return err
	}
	for _, one := range defaultImages() {
		if wanted(config.spec(), one.path, arch, flags.on("all")) {
			fmt.Println(effective(config.spec(), one))
		}
	}
	return nil
}

func bundleArtifacts(Flags) error {
	if !atLeast(1, 33) {
		return errors.New("unknown command \"bundle-artifacts\" for \"k0s airgap\"")
	}
	return errors.New("failed to fetch: dial tcp: lookup quay.io: no such host")
}
