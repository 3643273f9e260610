package main

import (
	"context"
	"os"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/mount-utils"
)

type node struct {
	csi.UnimplementedNodeServer
	name    string
	store   *store
	mounter mount.Interface
}

func (*node) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	return &csi.NodeGetCapabilitiesResponse{}, nil
}

func (n *node) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.name}, nil
}

func (n *node) NodePublishVolume(_ context.Context, q *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	if q.TargetPath == "" || q.VolumeCapability == nil {
		return nil, status.Error(codes.InvalidArgument, "a target path and a volume capability are required")
	}
	if reason := unsupported([]*csi.VolumeCapability{q.VolumeCapability}); reason != "" {
		return nil, status.Error(codes.InvalidArgument, reason)
	}
	if !validID(q.VolumeId) {
		return nil, status.Errorf(codes.NotFound, "no volume %q", q.VolumeId)
	}
	if found, err := n.store.exists("volumes", q.VolumeId); err != nil {
		return nil, internal(err)
	} else if !found {
		return nil, status.Errorf(codes.NotFound, "no volume %q", q.VolumeId)
	}
	if err := os.MkdirAll(q.TargetPath, 0o750); err != nil {
		return nil, internal(err)
	}
	mounted, err := n.mounter.IsMountPoint(q.TargetPath)
	if err != nil {
		return nil, internal(err)
	}
	if mounted {
		return &csi.NodePublishVolumeResponse{}, nil
	}
	options := []string{"bind"}
	if q.Readonly {
		options = append(options, "ro")
	}
	if err := n.mounter.Mount(n.store.path("volumes", q.VolumeId), q.TargetPath, "", options); err != nil {
		return nil, internal(err)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (n *node) NodeUnpublishVolume(_ context.Context, q *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	if q.TargetPath == "" {
		return nil, status.Error(codes.InvalidArgument, "a target path is required")
	}
	if err := mount.CleanupMountPoint(q.TargetPath, n.mounter, true); err != nil {
		return nil, internal(err)
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}
