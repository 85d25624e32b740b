package main

import (
	"context"
	"fmt"

	routerv1 "headgate/gen/go/headgate/router/v1"
)

// A cancelled stream closes the request at the provider; what was produced by then is billed.
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
