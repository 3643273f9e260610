package main

import (
	"context"
	"sort"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (c *controller) snapshot(id string) (*csi.Snapshot, error) {
	if err := c.require("snapshots", id); err != nil {
		return nil, err
	}
	var record snapshotRecord
	if err := c.store.load("snapshots", id, &record); err != nil {
		return nil, internal(err)
	}
	return &csi.Snapshot{
		SnapshotId: id, SourceVolumeId: record.Volume, SizeBytes: record.Bytes,
		CreationTime: timestamppb.New(record.Created), ReadyToUse: !time.Now().Before(record.Ready),
	}, nil
}

func (c *controller) CreateSnapshot(ctx context.Context, q *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	if !validID(q.Name) || q.SourceVolumeId == "" {
		return nil, status.Error(codes.InvalidArgument, "a name and a source volume are required")
	}
	if err := c.injectCreateFaults(ctx, q.SourceVolumeId); err != nil {
		return nil, err
	}
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	exists, err := c.store.exists("snapshots", q.Name)
	if err != nil {
		return nil, internal(err)
	}
	if !exists {
		if err := c.take(q); err != nil {
			return nil, err
		}
	}
	snapshot, err := c.snapshot(q.Name)
	if err != nil {
		return nil, err
	}
	if snapshot.SourceVolumeId != q.SourceVolumeId {
		return nil, status.Errorf(codes.AlreadyExists, "snapshot %s is of volume %s", q.Name, snapshot.SourceVolumeId)
	}
	return &csi.CreateSnapshotResponse{Snapshot: snapshot}, nil
}

func (c *controller) take(q *csi.CreateSnapshotRequest) error {
	volume, err := c.volume(q.SourceVolumeId)
	if err != nil {
		return err
	}
	delay, err := c.store.faultSeconds("ready-delay", q.SourceVolumeId)
	if err != nil {
		return internal(err)
	}
	now := time.Now().UTC()
	record := snapshotRecord{Volume: q.SourceVolumeId, Bytes: volume.Bytes, Created: now, Ready: now.Add(delay)}
	if err := c.store.createSnapshot(q.Name, record); err != nil {
		return internal(err)
	}
	return nil
}

func (c *controller) injectCreateFaults(ctx context.Context, volume string) error {
	delay, err := c.store.faultSeconds("create-snapshot-delay", volume)
	if err != nil {
		return internal(err)
	}
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
	return c.injectError("create-snapshot-error", volume)
}

func (c *controller) injectError(name, volume string) error {
	message, err := c.store.fault(name, volume)
	if err != nil {
		return internal(err)
	}
	if message != "" {
		return status.Error(codes.Internal, message)
	}
	return nil
}

func (c *controller) DeleteSnapshot(_ context.Context, q *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	if q.SnapshotId == "" {
		return nil, status.Error(codes.InvalidArgument, "a snapshot id is required")
	}
	if !validID(q.SnapshotId) {
		return &csi.DeleteSnapshotResponse{}, nil
	}
	if err := c.injectError("delete-snapshot-error", ""); err != nil {
		return nil, err
	}
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	if err := c.store.delete("snapshots", q.SnapshotId); err != nil {
		return nil, internal(err)
	}
	return &csi.DeleteSnapshotResponse{}, nil
}

// ListSnapshots pages by id: the token is the last id of the page before.
func (c *controller) ListSnapshots(_ context.Context, q *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	if q.MaxEntries < 0 {
		return nil, status.Error(codes.InvalidArgument, "max_entries is negative")
	}
	ids, err := c.store.list("snapshots")
	if err != nil {
		return nil, internal(err)
	}
	response := &csi.ListSnapshotsResponse{}
	first := sort.Search(len(ids), func(i int) bool { return ids[i] > q.StartingToken })
	for _, id := range ids[first:] {
		if q.SnapshotId != "" && q.SnapshotId != id {
			continue
		}
		snapshot, err := c.snapshot(id)
		if status.Code(err) == codes.NotFound {
			continue // deleted since it was listed
		}
		if err != nil {
			return nil, err
		}
		if q.SourceVolumeId != "" && q.SourceVolumeId != snapshot.SourceVolumeId {
			continue
		}
		if q.MaxEntries > 0 && len(response.Entries) == int(q.MaxEntries) {
			response.NextToken = response.Entries[len(response.Entries)-1].Snapshot.SnapshotId
			break
		}
		response.Entries = append(response.Entries, &csi.ListSnapshotsResponse_Entry{Snapshot: snapshot})
	}
	return response, nil
}
