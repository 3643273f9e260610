package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// store is the disk layout below the btrfs mount point:
//
//	volumes/ID     writable subvolume       records/volumes/ID.json
//	snapshots/ID   read-only subvolume      records/snapshots/ID.json
//	staging/ID     a volume being made; emptied at start
//	faults/*       knobs for fault tests, see README.md
//
// Invariant: an object exists if and only if its subvolume exists. The record is
// written and synced before the subvolume appears and removed after it is gone, so
// a crash leaves at most a record without a subvolume, which counts for nothing.
type store struct {
	root string
	// mu makes check-then-create atomic between concurrent CSI calls.
	mu sync.Mutex
}

type volumeRecord struct {
	Bytes    int64  `json:"bytes"`
	Snapshot string `json:"snapshot,omitempty"`
	Volume   string `json:"volume,omitempty"`
}

type snapshotRecord struct {
	Volume  string    `json:"volume"`
	Bytes   int64     `json:"bytes"`
	Created time.Time `json:"created"`
	Ready   time.Time `json:"ready"`
}

func openStore(root string) (*store, error) {
	s := &store{root: root}
	for _, dir := range []string{"volumes", "snapshots", "staging", "faults", "records/volumes", "records/snapshots"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return nil, err
		}
	}
	// Without quotas a volume could fill the disk of all others.
	if err := btrfs("quota", "enable", root); err != nil {
		return nil, err
	}
	leftovers, err := os.ReadDir(filepath.Join(root, "staging"))
	if err != nil {
		return nil, err
	}
	for _, entry := range leftovers {
		if err := btrfs("subvolume", "delete", filepath.Join(root, "staging", entry.Name())); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func btrfs(args ...string) error {
	out, err := exec.Command("btrfs", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("btrfs %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (s *store) path(kind, id string) string { return filepath.Join(s.root, kind, id) }
func (s *store) record(kind, id string) string {
	return filepath.Join(s.root, "records", kind, id+".json")
}

// validID keeps an id from the API a plain file name.
func validID(id string) bool {
	return id != "" && id != "." && id != ".." && !strings.ContainsAny(id, "/\x00")
}

func (s *store) exists(kind, id string) (bool, error) {
	_, err := os.Stat(s.path(kind, id))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (s *store) load(kind, id string, into any) error {
	data, err := os.ReadFile(s.record(kind, id))
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// save writes the record durably: the subvolume that follows must never be without it.
func (s *store) save(kind, id string, record any) error {
	data, err := json.Marshal(record)
	if err != nil {
		return err
	}
	target := s.record(kind, id)
	file, err := os.CreateTemp(filepath.Dir(target), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), target); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(target))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// createVolume makes an empty volume, or a copy of source (a path), limited to record.Bytes.
func (s *store) createVolume(id, source string, record volumeRecord) error {
	staged := s.path("staging", id)
	if err := s.discard(staged); err != nil {
		return err
	}
	create := []string{"subvolume", "create", staged}
	if source != "" {
		create = []string{"subvolume", "snapshot", source, staged}
	}
	if err := btrfs(create...); err != nil {
		return err
	}
	if source == "" {
		if err := os.Chmod(staged, 0o777); err != nil {
			return err
		}
	}
	if err := btrfs("qgroup", "limit", strconv.FormatInt(record.Bytes, 10), staged); err != nil {
		return err
	}
	if err := s.save("volumes", id, record); err != nil {
		return err
	}
	return os.Rename(staged, s.path("volumes", id))
}

func (s *store) createSnapshot(id string, record snapshotRecord) error {
	if err := s.save("snapshots", id, record); err != nil {
		return err
	}
	return btrfs("subvolume", "snapshot", "-r", s.path("volumes", record.Volume), s.path("snapshots", id))
}

func (s *store) discard(path string) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return btrfs("subvolume", "delete", path)
}

func (s *store) delete(kind, id string) error {
	if err := s.discard(s.path(kind, id)); err != nil {
		return err
	}
	if err := os.Remove(s.record(kind, id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// list returns the ids of a kind in a stable order.
func (s *store) list(kind string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.root, kind))
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(entries))
	for _, entry := range entries {
		ids = append(ids, entry.Name())
	}
	sort.Strings(ids)
	return ids, nil
}

// fault returns the text of faults/NAME.VOLUME, else of faults/NAME, or "" where both are absent.
func (s *store) fault(name, volume string) (string, error) {
	for _, file := range []string{name + "." + volume, name} {
		data, err := os.ReadFile(filepath.Join(s.root, "faults", file))
		if !errors.Is(err, os.ErrNotExist) {
			return strings.TrimSpace(string(data)), err
		}
	}
	return "", nil
}

// faultSeconds reads a fault as a number of seconds; absent means zero.
func (s *store) faultSeconds(name, volume string) (time.Duration, error) {
	text, err := s.fault(name, volume)
	if err != nil || text == "" {
		return 0, err
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || seconds < 0 {
		return 0, fmt.Errorf("faults/%s: want seconds as a number >= 0, have %q", name, text)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
