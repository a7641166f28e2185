package standin

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// backup packs what restore needs: the state, the certificates, the configuration.
func backup(flags Flags) error {
	if err := root(); err != nil {
		return err
	}
	about, err := currentStatus()
	if err != nil || about.Role != "controller" {
		return errors.New("backup/restore for a running controller only")
	}
	if folder, err := os.Stat(flags.get("save-path")); err != nil || !folder.IsDir() {
		return fmt.Errorf("the save-path directory (%v) does not exist", flags.get("save-path"))
	}
	path := filepath.Join(flags.get("save-path"), "k0s_backup_"+time.Now().Format("2006-01-02T15_04_05_000Z0700")+".tar.gz")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	packed := gzip.NewWriter(file)
	archive := tar.NewWriter(packed)
	sources := map[string]string{"k0s.yaml": configPath, "version": ""}
	for _, name := range []string{etcdState, kineState, "pki/ca.crt", "pki/ca.key"} {
		sources[name] = filepath.Join(flags.data(), name)
	}
	for _, name := range sortedKeys(sources) {
		raw := []byte(Version)
		if sources[name] != "" {
			if raw, err = os.ReadFile(sources[name]); errors.Is(err, os.ErrNotExist) {
				continue
			} else if err != nil {
				return err
			}
		}
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(raw))}); err != nil {
			return err
		}
		if _, err := archive.Write(raw); err != nil {
			return err
		}
	}
	if err := errors.Join(archive.Close(), packed.Close()); err != nil {
		return err
	}
	fmt.Println("archive", path, "created successfully")
	return nil
}

func restore(flags Flags) error {
	if len(flags.words) != 1 {
		return errors.New("path to backup archive expected")
	}
	if statusAnswers() {
		return errors.New("k0s seems to be running! k0s must be down during the restore operation")
	}
	for _, name := range []string{"etcd", "db"} {
		if _, err := os.Stat(filepath.Join(flags.data(), name)); err == nil {
			return errors.New("the data directory is not empty")
		}
	}
	file, err := os.Open(flags.words[0])
	if err != nil {
		return err
	}
	defer file.Close()
	packed, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	for archive := tar.NewReader(packed); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		raw, err := io.ReadAll(archive)
		if err == nil && strings.Contains(header.Name, "/") {
			err = saveFile(filepath.Join(flags.data(), header.Name), raw, 0o600)
		}
		if err != nil {
			return err
		}
	}
}
