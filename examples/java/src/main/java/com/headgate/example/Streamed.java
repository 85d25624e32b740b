package com.headgate.example;

import com.headgate.router.v1.RouterServiceGrpc.RouterServiceBlockingV2Stub;

/** An answer while it is produced. Its last event says what it used and what it cost. */
final class Streamed {
  static void stream(RouterServiceBlockingV2Stub router) throws Exception {
    var events = router.streamComplete(Client.REQUEST);
    while (events.hasNext()) {
      var event = events.read();
      System.out.print(event.getDelta().getText());
      if (event.hasFinished()) {
        var tokens = event.getFinished().getUsage().getTotalTokens();
        var nanos = event.getFinished().getCost().getAmountNanos();
        System.out.printf("%n%d tokens, %d nano-USD%n", tokens, nanos);
      }
    }
  }
}
