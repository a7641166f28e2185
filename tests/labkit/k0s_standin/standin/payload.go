package standin

import (
	"archive/zip"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// unpack lays the components down, as each layout finds them.
func unpack(data string) error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	file, err := os.Open(own)
	if err != nil {
		return err
	}
	defer file.Close()
	if binDataSize > 0 {
		return unpackChain(file, data)
	}
	about, err := file.Stat()
	if err != nil {
		return err
	}
	archive, err := zip.NewReader(file, about.Size())
	if err != nil { // no payload: k0s takes what it finds
		_, err := exec.LookPath("kubelet")
		return err
	}
	for _, one := range archive.File {
		reader, err := one.Open()
		if err == nil {
			err = lay(filepath.Join(data, "bin", one.Name), reader)
		}
		if err != nil {
			return fmt.Errorf("failed to stage %s: %w", one.Name, err)
		}
	}
	return nil
}

func unpackChain(file *os.File, data string) error {
	for _, name := range sortedKeys(binData) {
		one := binData[name]
		if _, err := file.Seek(one.offset-binDataSize, io.SeekEnd); err != nil {
			return fmt.Errorf("failed to find embedded file position for %s: %w", name, err)
		}
		reader, err := gzip.NewReader(io.LimitReader(file, one.size))
		if err == nil {
			err = lay(filepath.Join(data, name[:len(name)-len(".gz")]), reader)
		}
		if err != nil {
			return fmt.Errorf("failed to stage %s: %w", name, err)
		}
	}
	return nil
}

func lay(path string, reader io.Reader) error {
	raw, err := io.ReadAll(reader)
	if err != nil {
		return err
	}
	return saveFile(path, raw, 0o750)
}
