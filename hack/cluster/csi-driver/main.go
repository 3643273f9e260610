// Command csi-btrfs is a CSI driver for test clusters whose nodes share one machine.
//
// A volume is a btrfs subvolume, a snapshot is a read-only subvolume (one atomic
// btrfs transaction), and a restored volume is a writable snapshot of it. All nodes
// see the same file system, so there is no topology: every volume can be mounted on
// every node. One process serves one controller socket and one socket per node.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
	"k8s.io/mount-utils"
)

const driverName = "btrfs.csi.backstay.test"

// nodeFlag collects -node NAME=SOCKET=REGISTRATION_SOCKET.
type nodeFlag []nodeSockets

type nodeSockets struct{ name, plugin, registration string }

func (f *nodeFlag) String() string { return fmt.Sprint(*f) }

func (f *nodeFlag) Set(value string) error {
	parts := strings.Split(value, "=")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return errors.New("want NAME=SOCKET=REGISTRATION_SOCKET")
	}
	*f = append(*f, nodeSockets{parts[0], parts[1], parts[2]})
	return nil
}

func listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	// A socket file that a killed driver left behind would make the bind fail.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", path)
}

func serve(path string, failed chan<- error, register func(*grpc.Server)) {
	listener, err := listen(path)
	if err != nil {
		failed <- err
		return
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(logged))
	register(server)
	failed <- fmt.Errorf("%s: %w", path, server.Serve(listener))
}

func main() {
	var nodes nodeFlag
	root := flag.String("root", "", "mount point of the btrfs file system")
	controllerSocket := flag.String("controller", "", "socket of the controller service")
	flag.Var(&nodes, "node", "NAME=SOCKET=REGISTRATION_SOCKET, once per node")
	flag.Parse()
	if *root == "" || *controllerSocket == "" || len(nodes) == 0 {
		flag.Usage()
		os.Exit(2)
	}
	store, err := openStore(*root)
	if err != nil {
		log.Fatal(err)
	}
	failed := make(chan error)
	go serve(*controllerSocket, failed, func(server *grpc.Server) {
		csi.RegisterIdentityServer(server, &identity{})
		csi.RegisterControllerServer(server, &controller{store: store})
	})
	for _, sockets := range nodes {
		go serve(sockets.plugin, failed, func(server *grpc.Server) {
			csi.RegisterIdentityServer(server, &identity{})
			csi.RegisterNodeServer(server, &node{name: sockets.name, store: store, mounter: mount.New("")})
		})
		go serve(sockets.registration, failed, func(server *grpc.Server) {
			registration.RegisterRegistrationServer(server, &registrar{endpoint: sockets.plugin})
		})
	}
	log.Fatal(<-failed)
}
