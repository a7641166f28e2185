module example.org/talos-standin

go 1.21
