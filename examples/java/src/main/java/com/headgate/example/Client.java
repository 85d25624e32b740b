package com.headgate.example;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.headgate.router.v1.CompletionRequest;
import com.headgate.router.v1.RouterServiceGrpc;
import com.headgate.router.v1.RouterServiceGrpc.RouterServiceBlockingV2Stub;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Metadata;
import io.grpc.StatusException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;

/** Asks for an answer, hangs up on a second one, and streams a third; a refusal is told with its reason. */
public final class Client {
  private static final CompletionRequest REQUEST =
      CompletionRequest.newBuilder().setModel("fast").setPrompt("Why is the sky blue?").build();

  public static void main(String[] args) throws Exception {
    var headers = new Metadata();
    headers.put(key("authorization"), "Bearer " + System.getenv("KEY"));
    var channel = Grpc.newChannelBuilder(args[0], InsecureChannelCredentials.create()).build();
    var router =
        RouterServiceGrpc.newBlockingV2Stub(channel)
            .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
    try {
      complete(router);
      hangUp(router);
      stream(router);
    } catch (StatusException error) {
      explain(error);
      System.exit(1);
    } finally {
      channel.shutdown();
    }
  }

  private static void complete(RouterServiceBlockingV2Stub router) throws StatusException {
    var trailer = new AtomicReference<Metadata>();
    var capture = MetadataUtils.newCaptureMetadataInterceptor(new AtomicReference<>(), trailer);
    var completion = router.withInterceptors(capture).complete(REQUEST);
    for (var part : completion.getChoices(0).getMessage().getPartsList()) {
      System.out.println(part.getText());
    }
    for (var name : List.of("x-request-id", "x-cache", "x-headgate-cost-nanos")) {
      System.out.println(name + ": " + trailer.get().get(key(name)));
    }
  }

  private static void hangUp(RouterServiceBlockingV2Stub router) throws Exception {
    var events = router.streamComplete(REQUEST);
    while (events.hasNext()) {
      var text = events.read().getDelta().getText();
      if (!text.isEmpty()) {
        events.cancel("this is enough", null);
        System.out.println("hung up after: " + text);
        return;
      }
    }
  }

  private static void stream(RouterServiceBlockingV2Stub router) throws Exception {
    var events = router.streamComplete(REQUEST);
    while (events.hasNext()) {
      var event = events.read();
      System.out.print(event.getDelta().getText());
      if (event.hasFinished()) {
        var end = event.getFinished();
        System.out.printf(
            "%n%d tokens, %d nano-USD%n",
            end.getUsage().getTotalTokens(), end.getCost().getAmountNanos());
      }
    }
  }

  private static void explain(StatusException error) throws InvalidProtocolBufferException {
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

  private static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }
}
