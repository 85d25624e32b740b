package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	routerv1 "headgate/gen/go/headgate/router/v1"
)

// A whole answer, and the metadata that trails it.
func complete(ctx context.Context, router routerv1.RouterServiceClient) error {
	var trailer metadata.MD
	completion, err := router.Complete(ctx, request, grpc.Trailer(&trailer))
	if err != nil {
		return err
	}
	for _, part := range completion.GetChoices()[0].GetMessage().GetParts() {
		fmt.Println(part.GetText())
	}
	for _, name := range []string{"x-request-id", "x-cache", "x-headgate-cost-nanos"} {
		fmt.Printf("%s: %s\n", name, trailer.Get(name)[0])
	}
	return nil
}
