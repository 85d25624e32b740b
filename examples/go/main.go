// Asks for an answer, hangs up on a second one, and streams a third; a refusal is told with its reason.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

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

func hangUp(ctx context.Context, router routerv1.RouterServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := router.StreamComplete(ctx, request)
	for err == nil {
		var event *routerv1.CompletionEvent
		event, err = events.Recv()
		if text := event.GetDelta().GetText(); text != "" {
			fmt.Println("hung up after:", text)
			return nil
		}
	}
	return err
}

func stream(ctx context.Context, router routerv1.RouterServiceClient) error {
	events, err := router.StreamComplete(ctx, request)
	for err == nil {
		var event *routerv1.CompletionEvent
		event, err = events.Recv()
		fmt.Print(event.GetDelta().GetText())
		if end := event.GetFinished(); end != nil {
			fmt.Printf("\n%d tokens, %d nano-USD\n", end.GetUsage().GetTotalTokens(), end.GetCost().GetAmountNanos())
		}
	}
	if err != io.EOF {
		return err
	}
	return nil
}

func explain(err error) {
	refusal := status.Convert(err)
	fmt.Fprintf(os.Stderr, "%s: %s\n", refusal.Code(), refusal.Message())
	for _, detail := range refusal.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			fmt.Fprintln(os.Stderr, "reason:", detail.GetReason())
		case *errdetails.RetryInfo:
			fmt.Fprintf(os.Stderr, "again in: %.1f s\n", detail.GetRetryDelay().AsDuration().Seconds())
		}
	}
}
