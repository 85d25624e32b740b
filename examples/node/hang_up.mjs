import { metadata, request, router } from "./router.mjs";

// A cancelled stream closes the request at the provider; what was produced by then is billed.
export async function hangUp() {
  const events = router.streamComplete(request, metadata);
  for await (const { delta } of events) {
    if (!delta?.text) continue;
    console.log("hung up after:", delta.text);
    events.cancel();
    return;
  }
}
