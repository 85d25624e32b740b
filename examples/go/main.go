// Asks for an answer, hangs up on a second one, and streams a third; a refusal is told with its reason.
package main

import (
	"context"
	"log"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	routerv1 "headgate/gen/go/headgate/router/v1"
)

var request = &routerv1.CompletionRequest{Model: "fast", Prompt: "Why is the sky blue?"}

func main() {
	conn, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	router := routerv1.NewRouterServiceClient(conn)
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+os.Getenv("KEY"))
	for _, ask := range []func(context.Context, routerv1.RouterServiceClient) error{complete, hangUp, stream} {
		if err := ask(ctx, router); err != nil {
			explain(err)
			os.Exit(1)
		}
	}
}
