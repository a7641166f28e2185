package standin

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// KubeletConfiguration has the fields of a kubelet's configuration that worker profiles set most, with their types.
type KubeletConfiguration struct {
	FailCgroupV1                  *bool             `json:"failCgroupV1"`
	FailSwapOn                    *bool             `json:"failSwapOn"`
	MaxPods                       int32             `json:"maxPods"`
	PodPidsLimit                  *int64            `json:"podPidsLimit"`
	ImageGCHighThresholdPercent   *int32            `json:"imageGCHighThresholdPercent"`
	MemoryThrottlingFactor        *float64          `json:"memoryThrottlingFactor"`
	CgroupDriver                  string            `json:"cgroupDriver"`
	ResolverConfig                *string           `json:"resolvConf"`
	ReservedSystemCPUs            string            `json:"reservedSystemCPUs"`
	ClusterDNS                    []string          `json:"clusterDNS"`
	AllowedUnsafeSysctls          []string          `json:"allowedUnsafeSysctls"`
	FeatureGates                  map[string]bool   `json:"featureGates"`
	SystemReserved                map[string]string `json:"systemReserved"`
	KubeReserved                  map[string]string `json:"kubeReserved"`
	EvictionHard                  map[string]string `json:"evictionHard"`
	EvictionSoft                  map[string]string `json:"evictionSoft"`
	CPUManagerPolicyOptions       map[string]string `json:"cpuManagerPolicyOptions"`
	EvictionMaxPodGracePeriod     int32             `json:"evictionMaxPodGracePeriod"`
	ShutdownGracePeriod           string            `json:"shutdownGracePeriod"`
	StreamingConnectionIdle       string            `json:"streamingConnectionIdleTimeout"`
	SerializeImagePulls           *bool             `json:"serializeImagePulls"`
	ProtectKernelDefaults         bool              `json:"protectKernelDefaults"`
	ContainerLogMaxSize           string            `json:"containerLogMaxSize"`
	ContainerLogMaxFiles          *int32            `json:"containerLogMaxFiles"`
	EvictionPressureTransitPeriod string            `json:"evictionPressureTransitionPeriod"`
}

// profiles reads the worker profiles as k0s does: a value of another type than the kubelet's is refused.
func profiles(spec map[string]any) (map[string]KubeletConfiguration, error) {
	found := map[string]KubeletConfiguration{}
	written, _ := spec["workerProfiles"].([]any)
	for number, one := range written {
		profile, _ := one.(map[string]any)
		name, isText := profile["name"].(string)
		if !isText {
			return nil, fmt.Errorf("json: cannot unmarshal %v into Go struct field WorkerProfile.name of type string", profile["name"])
		}
		raw, err := json.Marshal(profile["values"])
		var values KubeletConfiguration
		if err == nil {
			err = json.Unmarshal(raw, &values)
		}
		if err != nil {
			return nil, fmt.Errorf("spec: workerProfiles[%d].values: Invalid value: %w", number, err)
		}
		found[name] = values
	}
	return found, nil
}

// oldCgroups tells whether /sys/fs/cgroup holds hierarchies of the first version, or a test says so.
func oldCgroups() bool {
	if _, err := os.Stat(filepath.Join(switches, "cgroup-v1")); err == nil {
		return true
	}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return false
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	return strings.Contains(string(mounts), " /sys/fs/cgroup/")
}

// preflight is what k0s looks at before it runs a node: from 1.35.7 on it rejects the first version of cgroups.
func preflight(flags Flags) error {
	if !oldCgroups() || !atLeast(1, 35, 7) || flags.on("ignore-pre-flight-checks") {
		return nil
	}
	fmt.Fprintln(os.Stderr, `level=warning msg="Rejected: cgroup v1 is not supported" pre-flight-check=os/cgroups property="version 1"`)
	return errors.New("pre-flight checks failed, check out `k0s sysinfo`")
}

// startsHere tells whether the kubelet accepts the host's cgroups: from 1.35 on it does not take the first version by itself.
func startsHere(flags Flags, spec map[string]any) bool {
	if !oldCgroups() || !atLeast(1, 35) || strings.Contains(flags.get("kubelet-extra-args"), "--fail-cgroupv1=false") {
		return true
	}
	name := flags.get("profile")
	if name == "" {
		name = "default"
	}
	known, err := profiles(spec)
	allowed := known[name].FailCgroupV1
	return err == nil && allowed != nil && !*allowed
}
