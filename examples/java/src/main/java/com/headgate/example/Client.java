package com.headgate.example;

import com.headgate.router.v1.CompletionRequest;
import com.headgate.router.v1.RouterServiceGrpc;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Metadata;
import io.grpc.StatusException;
import io.grpc.stub.MetadataUtils;

/** Asks for an answer, hangs up on a second one, and streams a third; a refusal is told with its reason. */
public final class Client {
  static final CompletionRequest REQUEST =
      CompletionRequest.newBuilder().setModel("fast").setPrompt("Why is the sky blue?").build();

  public static void main(String[] args) throws Exception {
    var headers = new Metadata();
    headers.put(key("authorization"), "Bearer " + System.getenv("KEY"));
    var attach = MetadataUtils.newAttachHeadersInterceptor(headers);
    var channel = Grpc.newChannelBuilder(args[0], InsecureChannelCredentials.create()).build();
    var router = RouterServiceGrpc.newBlockingV2Stub(channel).withInterceptors(attach);
    try {
      Whole.complete(router);
      HangUp.hangUp(router);
      Streamed.stream(router);
    } catch (StatusException error) {
      Refusal.explain(error);
      System.exit(1);
    } finally {
      channel.shutdown();
    }
  }

  static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }
}
