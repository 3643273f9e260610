package main

import (
	"context"
	"sort"
	"strconv"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const defaultBytes = 1 << 30

type controller struct {
	csi.UnimplementedControllerServer
	store *store
}

func internal(err error) error { return status.Error(codes.Internal, err.Error()) }

func (*controller) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	response := &csi.ControllerGetCapabilitiesResponse{}
	for _, kind := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
		csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
		csi.ControllerServiceCapability_RPC_CLONE_VOLUME,
	} {
		rpc := &csi.ControllerServiceCapability_RPC{Type: kind}
		response.Capabilities = append(response.Capabilities,
			&csi.ControllerServiceCapability{Type: &csi.ControllerServiceCapability_Rpc{Rpc: rpc}})
	}
	return response, nil
}

// unsupported names the first capability that a directory cannot offer, or "".
func unsupported(capabilities []*csi.VolumeCapability) string {
	for _, capability := range capabilities {
		if capability.GetBlock() != nil {
			return "raw block volumes are not supported"
		}
	}
	return ""
}

// capacity picks the size of a new volume: what is required, at least what the source needs.
func capacity(wanted *csi.CapacityRange, least int64) (int64, error) {
	size := wanted.GetRequiredBytes()
	if size == 0 {
		size = max(defaultBytes, least)
		if limit := wanted.GetLimitBytes(); limit > 0 {
			size = min(size, limit)
		}
	}
	if size < least {
		return 0, status.Errorf(codes.OutOfRange, "%d bytes asked for, the source needs %d", size, least)
	}
	if limit := wanted.GetLimitBytes(); limit > 0 && size > limit {
		return 0, status.Errorf(codes.OutOfRange, "%d bytes required, limit is %d", size, limit)
	}
	return size, nil
}

// source resolves where a new volume's content comes from: path and least size.
func (c *controller) source(content *csi.VolumeContentSource, record *volumeRecord) (string, int64, error) {
	if snapshot := content.GetSnapshot(); snapshot != nil {
		record.Snapshot = snapshot.SnapshotId
		found, err := c.snapshot(snapshot.SnapshotId)
		if err != nil {
			return "", 0, err
		}
		if !found.ReadyToUse {
			return "", 0, status.Errorf(codes.Unavailable, "snapshot %s is not ready yet", snapshot.SnapshotId)
		}
		return c.store.path("snapshots", snapshot.SnapshotId), found.SizeBytes, nil
	}
	if volume := content.GetVolume(); volume != nil {
		record.Volume = volume.VolumeId
		found, err := c.volume(volume.VolumeId)
		if err != nil {
			return "", 0, err
		}
		return c.store.path("volumes", volume.VolumeId), found.Bytes, nil
	}
	return "", 0, nil
}

func (c *controller) volume(id string) (volumeRecord, error) {
	var record volumeRecord
	if err := c.require("volumes", id); err != nil {
		return record, err
	}
	if err := c.store.load("volumes", id, &record); err != nil {
		return record, internal(err)
	}
	return record, nil
}

func (c *controller) require(kind, id string) error {
	if !validID(id) {
		return status.Errorf(codes.NotFound, "no %s %q", kind, id)
	}
	found, err := c.store.exists(kind, id)
	if err != nil {
		return internal(err)
	}
	if !found {
		return status.Errorf(codes.NotFound, "no %s %q", kind, id)
	}
	return nil
}

func (c *controller) CreateVolume(_ context.Context, q *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	if !validID(q.Name) || len(q.VolumeCapabilities) == 0 {
		return nil, status.Error(codes.InvalidArgument, "a name and volume capabilities are required")
	}
	if reason := unsupported(q.VolumeCapabilities); reason != "" {
		return nil, status.Error(codes.InvalidArgument, reason)
	}
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	exists, err := c.store.exists("volumes", q.Name)
	if err != nil {
		return nil, internal(err)
	}
	var record volumeRecord
	if exists {
		record, err = c.existing(q)
	} else {
		record, err = c.create(q)
	}
	if err != nil {
		return nil, err
	}
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{
		VolumeId: q.Name, CapacityBytes: record.Bytes, ContentSource: q.VolumeContentSource,
	}}, nil
}

// existing returns the volume of this name if it is what the request asks for.
func (c *controller) existing(q *csi.CreateVolumeRequest) (volumeRecord, error) {
	record, err := c.volume(q.Name)
	if err != nil {
		return record, err
	}
	wanted, content := q.GetCapacityRange(), q.GetVolumeContentSource()
	fits := record.Bytes >= wanted.GetRequiredBytes() && (wanted.GetLimitBytes() == 0 || record.Bytes <= wanted.GetLimitBytes())
	same := record.Snapshot == content.GetSnapshot().GetSnapshotId() && record.Volume == content.GetVolume().GetVolumeId()
	if !fits || !same {
		return record, status.Errorf(codes.AlreadyExists, "volume %s exists with another size or source", q.Name)
	}
	return record, nil
}

func (c *controller) create(q *csi.CreateVolumeRequest) (volumeRecord, error) {
	var record volumeRecord
	path, least, err := c.source(q.GetVolumeContentSource(), &record)
	if err != nil {
		return record, err
	}
	if record.Bytes, err = capacity(q.GetCapacityRange(), least); err != nil {
		return record, err
	}
	if err := c.store.createVolume(q.Name, path, record); err != nil {
		return record, internal(err)
	}
	return record, nil
}

func (c *controller) DeleteVolume(_ context.Context, q *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	if q.VolumeId == "" {
		return nil, status.Error(codes.InvalidArgument, "a volume id is required")
	}
	if !validID(q.VolumeId) {
		return &csi.DeleteVolumeResponse{}, nil
	}
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	if err := c.store.delete("volumes", q.VolumeId); err != nil {
		return nil, internal(err)
	}
	return &csi.DeleteVolumeResponse{}, nil
}

func (c *controller) ValidateVolumeCapabilities(_ context.Context, q *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if err := c.require("volumes", q.VolumeId); err != nil {
		return nil, err
	}
	if reason := unsupported(q.VolumeCapabilities); reason != "" {
		return &csi.ValidateVolumeCapabilitiesResponse{Message: reason}, nil
	}
	return &csi.ValidateVolumeCapabilitiesResponse{Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
		VolumeContext: q.VolumeContext, VolumeCapabilities: q.VolumeCapabilities, Parameters: q.Parameters,
	}}, nil
}

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
	if err := c.injectCreateFaults(ctx); err != nil {
		return nil, err
	}
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	exists, err := c.store.exists("snapshots", q.Name)
	if err != nil {
		return nil, internal(err)
	}
	if !exists {
		if err := c.cut(q); err != nil {
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

func (c *controller) cut(q *csi.CreateSnapshotRequest) error {
	volume, err := c.volume(q.SourceVolumeId)
	if err != nil {
		return err
	}
	delay, err := c.store.faultSeconds("ready-delay")
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

func (c *controller) injectCreateFaults(ctx context.Context) error {
	delay, err := c.store.faultSeconds("create-snapshot-delay")
	if err != nil {
		return internal(err)
	}
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
	return c.injectError("create-snapshot-error")
}

func (c *controller) injectError(name string) error {
	message, err := c.store.fault(name)
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
	if err := c.injectError("delete-snapshot-error"); err != nil {
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
		return nil, status.Error(codes.InvalidArgument, "max_entries: "+strconv.Itoa(int(q.MaxEntries)))
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
