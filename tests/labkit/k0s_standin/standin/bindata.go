package standin

// Where the components of releases before 1.36 lie, counted from the end of the file.
// Written anew for each build, as k0s does it; without a payload nothing is there.

type member struct{ offset, size, originalSize int64 }

var (
	binData           = map[string]member{}
	binDataSize int64 = 0
)
