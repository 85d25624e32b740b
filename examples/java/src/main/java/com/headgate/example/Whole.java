package com.headgate.example;

import com.headgate.router.v1.RouterServiceGrpc.RouterServiceBlockingV2Stub;
import io.grpc.Metadata;
import io.grpc.StatusException;
import io.grpc.stub.MetadataUtils;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;

/** A whole answer, and the metadata that trails it. */
final class Whole {
  static void complete(RouterServiceBlockingV2Stub router) throws StatusException {
    var trailer = new AtomicReference<Metadata>();
    var capture = MetadataUtils.newCaptureMetadataInterceptor(new AtomicReference<>(), trailer);
    var completion = router.withInterceptors(capture).complete(Client.REQUEST);
    for (var part : completion.getChoices(0).getMessage().getPartsList()) {
      System.out.println(part.getText());
    }
    for (var name : List.of("x-request-id", "x-cache", "x-headgate-cost-nanos")) {
      System.out.println(name + ": " + trailer.get().get(Client.key(name)));
    }
  }
}
