// Watches a supervisor over gRPC: its containers as they are, then every event.
//
//	watch SOCKET [EVENTS]
//
// The messages are made from messages/gantry.proto (installed: PREFIX/share/gantry):
//
//	protoc -IPREFIX/share/gantry --go_out=. --go_opt=Mmessages/gantry.proto=gantry/v1 messages/gantry.proto
//
// With protoc-gen-go-grpc there are typed clients as well (the same M for --go-grpc_opt). This
// program does without them, and names its codec, so that it is built with the libraries of
// Debian 12 (golang-google-grpc-dev, golang-google-protobuf-dev), whose gRPC is older than its protobuf.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	v1 "gantry/v1"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

type codec struct{}

func (codec) Marshal(v interface{}) ([]byte, error) { return proto.Marshal(v.(proto.Message)) }
func (codec) Unmarshal(data []byte, v interface{}) error {
	return proto.Unmarshal(data, v.(proto.Message))
}
func (codec) Name() string { return "proto" }

func watch(socket string, left int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	bus, err := grpc.Dial("unix:"+socket, grpc.WithInsecure(), // The socket's owner is the guard.
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{})))
	if err != nil {
		return err
	}
	defer bus.Close()
	follow, err := bus.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/gantry.v1.Events/Follow")
	if err != nil {
		return err
	}
	request := v1.FollowRequest{Follow: true, List: true, Filter: &v1.EventFilter{Namespace: "*"}}
	if err := follow.SendMsg(&request); err != nil {
		return err
	}
	if err := follow.CloseSend(); err != nil {
		return err
	}
	for left != 0 {
		var item v1.FollowItem
		if err := follow.RecvMsg(&item); err != nil {
			return err
		}
		if c := item.GetContainer(); c != nil {
			fmt.Println("container", c.GetId(), strings.ToLower(c.GetState().String()))
		} else if item.GetListed() != nil {
			fmt.Println("events from here on")
		} else if e := item.GetEvent(); e != nil {
			fmt.Println(e.GetSeq(), e.GetType(), e.GetContainer())
			left--
		}
	}
	return nil
}

func main() {
	left, err := -1, error(nil)
	if len(os.Args) == 3 {
		left, err = strconv.Atoi(os.Args[2])
	}
	if len(os.Args) < 2 || len(os.Args) > 3 || err != nil {
		fmt.Fprintln(os.Stderr, "usage: watch SOCKET [EVENTS]")
		os.Exit(64)
	}
	if err := watch(os.Args[1], left); err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
		os.Exit(1)
	}
}
