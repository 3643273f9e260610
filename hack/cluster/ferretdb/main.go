// ferretdb serves MongoDB's protocol from a folder of SQLite files, on loopback only. It prints the
// address when it listens, and ends at SIGTERM or SIGINT.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	folder := flag.String("folder", "", "folder of the data, ending in a slash")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Handler:   "sqlite",
		SQLiteURL: "file:" + *folder,
	})
	if err != nil {
		log.Fatal(err)
	}

	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	fmt.Println(server.MongoDBURI())
	if err := <-done; err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}
