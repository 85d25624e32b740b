package com.headgate.example;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.StatusException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;

/** A status carries its reason, and where a limit refused, the time to wait. */
final class Refusal {
  static void explain(StatusException error) throws InvalidProtocolBufferException {
    System.err.println(error.getMessage());
    for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        System.err.println("reason: " + detail.unpack(ErrorInfo.class).getReason());
      } else if (detail.is(RetryInfo.class)) {
        var delay = detail.unpack(RetryInfo.class).getRetryDelay();
        var wait = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
        System.err.printf("again in: %.1f s%n", wait.toMillis() / 1e3);
      }
    }
  }
}
