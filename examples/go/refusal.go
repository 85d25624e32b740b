package main

import (
	"fmt"
	"os"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// A status carries its reason, and where a limit refused, the time to wait.
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
