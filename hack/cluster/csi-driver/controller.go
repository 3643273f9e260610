package main

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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
