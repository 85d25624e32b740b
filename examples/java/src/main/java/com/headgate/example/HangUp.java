package com.headgate.example;

import com.headgate.router.v1.RouterServiceGrpc.RouterServiceBlockingV2Stub;

/** A cancelled stream closes the request at the provider; what was produced by then is billed. */
final class HangUp {
  static void hangUp(RouterServiceBlockingV2Stub router) throws Exception {
    var events = router.streamComplete(Client.REQUEST);
    while (events.hasNext()) {
      var text = events.read().getDelta().getText();
      if (!text.isEmpty()) {
        events.cancel("this is enough", null);
        System.out.println("hung up after: " + text);
        return;
      }
    }
  }
}
