package main

import (
	"context"
	"fmt"
	"io"

	routerv1 "headgate/gen/go/headgate/router/v1"
)

// An answer while it is produced. Its last event says what it used and what it cost.
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
